"""Fonts: substitutes for families that are not installed, and fallbacks for glyphs that a font lacks.

Runs once in the zygote, after the import of `matplotlib.font_manager`.
"""

import dataclasses
import logging

import belljar_imports

#: An installed family, and the families that it replaces where they are not installed.
STAND_INS = {
    "DejaVu Sans": (
        "Arial", "Arial Unicode MS", "Helvetica", "Helvetica Neue", "Liberation Sans", "Verdana",
        "Tahoma", "Calibri", "Segoe UI", "Trebuchet MS", "Lucida Grande", "Geneva", "Open Sans",
        "Roboto", "Lato", "Ubuntu", "Inter", "FreeSans", "Noto Sans", "Bitstream Vera Sans", "Avant Garde",
    ),
    "DejaVu Serif": (
        "Times New Roman", "Times", "Georgia", "Cambria", "Garamond", "Palatino", "Liberation Serif",
        "Noto Serif", "FreeSerif", "Bitstream Vera Serif", "Computer Modern Roman",
    ),
    "DejaVu Sans Mono": (
        "Courier New", "Courier", "Consolas", "Monaco", "Menlo", "Liberation Mono", "Noto Sans Mono",
        "FreeMono", "Lucida Console", "Bitstream Vera Sans Mono",
    ),
    "Noto Sans CJK JP": (
        "SimHei", "SimSun", "NSimSun", "FangSong", "KaiTi", "Microsoft YaHei", "Microsoft JhengHei",
        "PingFang SC", "PingFang TC", "PingFang HK", "Heiti SC", "Heiti TC", "STHeiti", "STSong", "Songti SC",
        "Hiragino Sans", "Hiragino Sans GB", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
        "Source Han Sans CN", "Source Han Sans SC", "Source Han Sans JP", "Droid Sans Fallback", "MS Gothic",
        "MS Mincho", "Yu Gothic", "Meiryo", "IPAexGothic", "IPAGothic", "IPAPGothic", "TakaoGothic",
        "TakaoPGothic", "VL Gothic", "Malgun Gothic", "NanumGothic", "NanumBarunGothic", "Nanum Gothic",
        "AppleGothic", "Batang", "Gulim", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK HK",
        "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans TC", "Noto Sans JP", "Noto Sans KR",
        "Noto Serif CJK SC", "Noto Serif CJK JP",
    ),
}  # fmt: skip
#: Fonts that have the letters which the chosen ones lack, in their order.
FALLBACKS = ("Noto Sans CJK JP", "Symbola")


def install() -> None:
    belljar_imports.after("matplotlib.font_manager", arrange)


def arrange(font_manager) -> None:
    manager = font_manager.fontManager
    installed: dict[str, list] = {}
    for entry in manager.ttflist:
        installed.setdefault(entry.name, []).append(entry)
    for family, names in STAND_INS.items():
        for name in names:
            if name not in installed:
                manager.ttflist += [dataclasses.replace(e, name=name) for e in installed.get(family, ())]
    fall_back(manager, [installed[name][0].fname for name in FALLBACKS if name in installed])
    # Otherwise Matplotlib logs each missing family to standard error, once for each text drawn.
    logging.getLogger("matplotlib.font_manager").addFilter(is_no_search)


def fall_back(manager, fallbacks: list[str]) -> None:
    """From a list of fonts Matplotlib uses the first that has the glyph. Appends fonts that have nearly all
    glyphs, regardless of the family that the code has chosen."""
    find = getattr(manager, "_find_fonts_by_props", None)
    if find is None:  # another version of Matplotlib
        return

    def find_with_fallbacks(*arguments, **options):
        found = find(*arguments, **options)
        return found + [one for one in fallbacks if one not in found]

    manager._find_fonts_by_props = find_with_fallbacks


def is_no_search(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("findfont:")
