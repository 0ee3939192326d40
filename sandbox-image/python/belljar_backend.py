"""Matplotlib's side of `belljar_display`: Agg, with a `show` that shows."""

import belljar_display
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg


class FigureManager(FigureManagerBase):
    def show(self):
        """`figure.show()`: this one, and no other."""
        belljar_display.draw(self.canvas.figure)
        Gcf.destroy(self)


class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager


def show(*, block=None):
    """`plt.show()`: nobody is there to close a window, so it never blocks."""
    belljar_display.show_open_figures()
