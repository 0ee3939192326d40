"""Draws the picture that the tests and the examples use: an organ's console with its pedals.

    python draw.py            writes instrument.jpeg beside this file

Nothing in it is random, so the same version of Pillow always draws the same picture,
and the number of pedals is known here rather than guessed from a photograph.
"""

from pathlib import Path

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1280, 960
EXPRESSION_PEDALS = 4
MANUALS = 3
STOPS_A_SIDE = (3, 6)  # columns, rows

WOOD, DARK_WOOD, EDGE = (124, 78, 44), (84, 50, 28), (46, 27, 15)
IVORY, EBONY = (240, 233, 214), (28, 26, 28)
WELL, STEEL, RUBBER = (26, 20, 18), (176, 180, 186), (58, 58, 62)


def draw() -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT), (205, 196, 180))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 880, WIDTH, HEIGHT), fill=(150, 132, 108))  # the floor
    pen.rounded_rectangle((90, 60, 1190, 890), 18, fill=WOOD, outline=EDGE, width=5)
    for y in range(90, 880, 66):  # the joints of the boards
        pen.line((98, y, 1182, y), fill=(112, 70, 40), width=3)
    draw_music_stand(pen)
    draw_stops(pen, left=120)
    draw_stops(pen, left=985)
    draw_manuals(pen)
    draw_expression_pedals(pen)
    draw_pedalboard(pen)
    return picture


def draw_music_stand(pen: ImageDraw.ImageDraw) -> None:
    pen.polygon([(440, 250), (470, 90), (810, 90), (840, 250)], fill=DARK_WOOD, outline=EDGE, width=4)
    pen.polygon([(520, 238), (538, 104), (742, 104), (760, 238)], fill=(250, 247, 238))
    for system in range(4):
        for line in range(5):
            y = 118 + system * 30 + line * 4
            pen.line((552, y, 728, y), fill=(120, 116, 110), width=1)


def draw_stops(pen: ImageDraw.ImageDraw, left: int) -> None:
    columns, rows = STOPS_A_SIDE
    pen.rounded_rectangle((left, 130, left + 175, 520), 10, fill=DARK_WOOD, outline=EDGE, width=4)
    for column in range(columns):
        for row in range(rows):
            x, y = left + 34 + column * 54, 168 + row * 62
            pen.ellipse((x - 19, y - 19, x + 19, y + 19), fill=IVORY, outline=EDGE, width=3)
            pen.line((x - 9, y - 3, x + 9, y - 3), fill=(150, 40, 40), width=2)
            pen.line((x - 6, y + 5, x + 6, y + 5), fill=(90, 84, 80), width=2)


def draw_manuals(pen: ImageDraw.ImageDraw) -> None:
    for manual in range(MANUALS):
        left, top, width = 330 - manual * 10, 280 + manual * 84, 620 + manual * 20
        pen.rectangle((left - 14, top - 12, left + width + 14, top + 66), fill=EDGE)
        keys = 35
        for key in range(keys):
            x0, x1 = left + width * key / keys, left + width * (key + 1) / keys
            pen.rectangle((x0, top, x1 - 1, top + 60), fill=IVORY, outline=(160, 150, 130))
        for key in range(keys - 1):
            if key % 7 in (0, 1, 3, 4, 5):
                x = left + width * (key + 1) / keys
                pen.rectangle((x - 5, top, x + 5, top + 36), fill=EBONY)


def draw_expression_pedals(pen: ImageDraw.ImageDraw) -> None:
    """Steel shoes in a dark well, well apart: what the examples count."""
    pen.rounded_rectangle((400, 565, 880, 705), 12, fill=WELL, outline=EDGE, width=5)
    pitch = 480 / EXPRESSION_PEDALS
    for pedal in range(EXPRESSION_PEDALS):
        x = 400 + pitch * (pedal + 0.5)
        shoe = [(x - 27, 582), (x + 27, 582), (x + 35, 690), (x - 35, 690)]
        pen.polygon(shoe, fill=STEEL, outline=(214, 217, 221), width=4)
        for rib in range(6):
            y = 598 + rib * 15
            reach = 20 + rib * 1.4
            pen.rounded_rectangle((x - reach, y, x + reach, y + 6), 3, fill=RUBBER)


def draw_pedalboard(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((210, 730, 1070, 884), fill=DARK_WOOD, outline=EDGE, width=4)
    for key in range(18):
        x = 236 + key * 46
        pen.rounded_rectangle((x, 770, x + 26, 880), 5, fill=(196, 164, 118), outline=EDGE, width=2)
        if key % 7 in (0, 1, 3, 4, 5) and key < 17:
            pen.rounded_rectangle((x + 27, 738, x + 45, 800), 5, fill=EBONY, outline=(70, 66, 66))


if __name__ == "__main__":
    picture = draw().resize((WIDTH * 3 // 4, HEIGHT * 3 // 4), Image.Resampling.LANCZOS)
    picture.save(Path(__file__).with_name("instrument.jpeg"), quality=58, optimize=True)
