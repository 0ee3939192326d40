"""Pictures on their way out: a Matplotlib backend, and a viewer for Pillow.

A figure is drawn as it is (`savefig` with nothing set), so that one which the code has saved as well
is the same to the byte, and comes out once.
"""

import io
import os
import struct
import sys
import warnings

import belljar_imports

DISPLAY = 4
BACKEND = "module://belljar_backend"

#: One line of a script that shows a figure shows it once.
_write = os.write


def install() -> None:
    """Makes this the way out, of libraries that are imported later as well."""
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
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that no font has is seen in the picture
        figure.savefig(buffer, format="png")
    send(buffer.getvalue())


def show_open_figures() -> None:
    """Each figure that is open, in the order of its making; then it is closed."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return
    for manager in helpers.Gcf.get_all_fig_managers():
        try:
            draw(manager.canvas.figure)
        finally:
            helpers.Gcf.destroy(manager)
