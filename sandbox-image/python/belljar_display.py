"""Sends images out of the cell: a Matplotlib backend, and a viewer for Pillow.

A figure is drawn unchanged (`savefig` without options), so that if the code has saved it too, both
images are identical and the image is returned once.
"""

import io
import os
import struct
import sys
import warnings
import weakref

import belljar_fonts
import belljar_imports

DISPLAY = 4
BACKEND = "module://belljar_backend"

#: A PNG with fewer than one byte per this many pixels may be blank.
BLANK_PIXELS_PER_BYTE = 90
#: The last image sent of each living figure.
_sent: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

#: Bound here, before code can replace it.
_write = os.write


def install() -> None:
    """Installs this output for libraries, also for those that are imported later."""
    belljar_fonts.install()
    belljar_imports.after("matplotlib", show_figures)
    belljar_imports.after("PIL.ImageShow", show_images)


def show_figures(matplotlib) -> None:
    # Set in the last place that `plt.show()` checks, so that a script that selects Agg gets Agg, and its
    # figures are shown at its end.
    matplotlib.rcParams["backend"] = BACKEND
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].switch_backend(BACKEND)


def show_images(image_show) -> None:
    class Viewer(image_show.Viewer):
        def show(self, image, **options):
            buffer = io.BytesIO()
            image.save(buffer, format="PNG")
            send(buffer.getvalue())
            return 1

    image_show._viewers[:] = [Viewer()]


def send(picture: bytes) -> None:
    """Sends one image. The warden detects the type from its bytes."""
    data = memoryview(struct.pack("!I", len(picture)) + picture)
    while data:
        data = data[_write(DISPLAY, data) :]


def draw(figure) -> None:
    """Sends a figure, unless it is blank or unchanged since it was last sent."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a missing glyph is visible in the image
        figure.savefig(buffer, format="png")
    picture = buffer.getvalue()
    if picture != _sent.get(figure) and not is_blank(figure, picture):
        _sent[figure] = picture
        send(picture)


def is_empty(figure) -> bool:
    """Whether it contains nothing but its background."""
    return all(child is figure.patch for child in figure.get_children())


def is_blank(figure, picture: bytes) -> bool:
    if is_empty(figure):
        return True
    width, height = struct.unpack("!II", picture[16:24])
    if len(picture) * BLANK_PIXELS_PER_BYTE > width * height:
        return False
    from PIL import Image

    return all(low == high for low, high in Image.open(io.BytesIO(picture)).getextrema())


def show_open_figures(close: bool = True) -> None:
    """Shows each open figure, in the order of creation, and closes it. If one cannot be drawn, the others
    are still shown."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return
    failure = None
    for manager in helpers.Gcf.get_all_fig_managers():
        try:
            draw(manager.canvas.figure)
        except Exception as error:  # noqa: BLE001: drawing runs the code's objects
            failure = failure or error
        finally:
            if close:
                helpers.Gcf.destroy(manager)
    if failure is not None:
        raise failure
