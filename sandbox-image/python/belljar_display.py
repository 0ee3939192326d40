"""Pictures on their way out: a Matplotlib backend, and a viewer for Pillow.

A figure is drawn as it is (`savefig` with nothing set), so that one which the code has saved as well
is the same to the byte, and comes out once.
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

#: A PNG that has fewer bytes than a pixel for each of so many may be one colour all over.
BLANK_PIXELS_PER_BYTE = 90
#: The picture that was sent last of each figure that is still there.
_sent: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

#: One line of a script that shows a figure shows it once.
_write = os.write


def install() -> None:
    """Makes this the way out, of libraries that are imported later as well."""
    belljar_fonts.install()
    belljar_imports.after("matplotlib", show_figures)
    belljar_imports.after("PIL.ImageShow", show_images)


def show_figures(matplotlib) -> None:
    # Set where `plt.show()` looks last, so that a script which asks for Agg gets Agg, and its figures
    # are shown at its end.
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
    """One picture. Whoever reads it looks at the bytes, not at what we say about them."""
    data = memoryview(struct.pack("!I", len(picture)) + picture)
    while data:
        data = data[_write(DISPLAY, data) :]


def draw(figure) -> None:
    """Unless it is one colour all over, or has been sent as it is."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that no font has is seen in the picture
        figure.savefig(buffer, format="png")
    picture = buffer.getvalue()
    if picture != _sent.get(figure) and not is_blank(figure, picture):
        _sent[figure] = picture
        send(picture)


def is_empty(figure) -> bool:
    """Whether there is nothing but its background."""
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
    """Each figure that is open, in the order of its making; then it is closed. One that cannot be drawn
    does not keep the others from being shown."""
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
