"""A backtest as an SVG picture: outcomes by score, and the ROC curve. Pure."""

from collections.abc import Iterator
from html import escape

from services.scoring.backtest import metrics
from services.scoring.backtest.metrics import SCORES, Tally

WIDTH, HEIGHT = 960, 460
TOP, SIDE = 100, 300
BARS_LEFT, BARS_WIDE, STEP, BAR = 70, 404, 36, 26
ROC_LEFT = 600
BAND_COLOURS = ((3, "#7aa6c2"), (6, "#e3b04b"), (SCORES - 1, "#d1603d"))
INK, FAINT = "#2b2b2b", "#dddddd"
ROUND_TOPS = (0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.2, 0.28, 0.4, 0.6, 0.8, 1.0)
HALO = ' stroke="white" stroke-width="3" paint-order="stroke"'


def svg(title: str, found: Tally) -> str:
    frame = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} font-family="sans-serif" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(BARS_LEFT, 36, title, size=17),
        *_bars(found),
        *_curve(found),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bars(found: Tally) -> Iterator[str]:
    rates = [metrics.share(*pair) for pair in zip(found.followed, found.given, strict=True)]
    highest = max((rate for rate in rates if rate is not None), default=0.0)
    top = next(each for each in ROUND_TOPS if each >= highest)
    yield _text(BARS_LEFT, TOP - 24, "Share with an outcome within 90 days, by score")
    for quarter in range(5):
        y = TOP + SIDE * (1 - quarter / 4)
        yield _line((BARS_LEFT, y), (BARS_LEFT + BARS_WIDE, y), FAINT)
        yield _text(BARS_LEFT - 8, y + 4, _percent(top * quarter / 4), anchor="end")
    if found.base_rate is not None:
        y = TOP + SIDE * (1 - found.base_rate / top)
        yield _line((BARS_LEFT, y), (BARS_LEFT + BARS_WIDE, y), INK, dashed=True)
        yield _text(BARS_LEFT + BARS_WIDE + 6, y + 4, f"all {_percent(found.base_rate)}")
    for score, rate in enumerate(rates):
        x = BARS_LEFT + 8 + score * STEP
        yield _text(x + BAR / 2, TOP + SIDE + 18, str(score), anchor="middle")
        if rate is not None:
            yield from _bar(x, rate, top, score)
    yield _text(BARS_LEFT + BARS_WIDE / 2, TOP + SIDE + 38, "score", anchor="middle")


def _bar(x: float, rate: float, top: float, score: int) -> Iterator[str]:
    height = SIDE * rate / top
    y = TOP + SIDE - height
    colour = next(colour for last, colour in BAND_COLOURS if score <= last)
    yield f'<rect x="{x}" y="{y:.1f}" width="{BAR}" height="{height:.1f}" fill="{colour}"/>'
    yield _text(x + BAR / 2, y - 5, _percent(rate), anchor="middle", size=10, more=HALO)


def _curve(found: Tally) -> Iterator[str]:
    right, bottom = ROC_LEFT + SIDE, TOP + SIDE
    area = metrics.auc(found)
    known = "not known" if area is None else f"{area:.3f}"
    yield _text(ROC_LEFT, TOP - 24, f"ROC curve: AUC {known}")
    for quarter in range(5):
        at = SIDE * quarter / 4
        yield _line((ROC_LEFT, bottom - at), (right, bottom - at), FAINT)
        yield _line((ROC_LEFT + at, TOP), (ROC_LEFT + at, bottom), FAINT)
        yield _text(ROC_LEFT - 8, bottom - at + 4, _percent(quarter / 4), anchor="end")
        yield _text(ROC_LEFT + at, bottom + 18, _percent(quarter / 4), anchor="middle")
    yield _line((ROC_LEFT, bottom), (right, TOP), INK, dashed=True)
    points = " ".join(
        f"{ROC_LEFT + SIDE * without:.1f},{bottom - SIDE * with_one:.1f}"
        for without, with_one in metrics.roc(found)
    )
    yield f'<polyline points="{points}" fill="none" stroke="#d1603d" stroke-width="2.5"/>'
    yield _text(ROC_LEFT + SIDE / 2, bottom + 38, "of those without an outcome", anchor="middle")
    yield _text(
        ROC_LEFT - 46,
        TOP + SIDE / 2,
        "of those with one",
        anchor="middle",
        more=f' transform="rotate(-90 {ROC_LEFT - 46} {TOP + SIDE / 2})"',
    )


def _line(
    begin: tuple[float, float], end: tuple[float, float], colour: str, *, dashed: bool = False
) -> str:
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<line x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{colour}"{dashes}/>'
    )


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", more: str = ""
) -> str:
    """`more` are additional attributes."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{more}>'
        f"{escape(text)}</text>"
    )


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
