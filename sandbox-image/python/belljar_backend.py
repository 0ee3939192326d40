"""The Matplotlib backend for `belljar_display`: Agg, with a `show` that sends images."""

import belljar_display
import matplotlib
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

#: The last figure that `plt.show()` showed and closed.
_shown = None


class FigureManager(FigureManagerBase):
    def show(self):
        """`figure.show()` sends only this figure. It never blocks, so the figure stays open."""
        belljar_display.draw(self.canvas.figure)


class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager

    def print_figure(self, *arguments, **options):
        """`plt.savefig` right after `plt.show()` would save a new, empty figure. Saves the figure that was
        shown instead, as such code intends."""
        if _shown is not None and belljar_display.is_empty(self.figure):
            return _shown.canvas.print_figure(*arguments, **options)
        return super().print_figure(*arguments, **options)


def show(*, block=None):
    """`plt.show()`. It never waits, because there are no windows to close. If it would block in a script, the
    windows would be closed when it returns, so the figures are closed; otherwise they stay open."""
    global _shown
    closes = block if block is not None else not matplotlib.is_interactive()
    figure = Gcf.get_active()
    belljar_display.show_open_figures(closes)
    if closes and figure is not None and not belljar_display.is_empty(figure.canvas.figure):
        _shown = figure.canvas.figure
