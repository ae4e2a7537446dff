"""The report as one HTML file that needs nothing else: tables, pictures, audio players."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
import soundfile

from sonant.audio import Audio
from sonant.evaluation.report.markdown import without_escapes

Players = Sequence[tuple[str, Mapping[str, Audio]]]


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(without_escapes(text)))


def _table(lines: Sequence[str]) -> str:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    head, body = rows[0], rows[2:]
    cells = ["<tr>" + "".join(f"<th>{_inline(c)}</th>" for c in head) + "</tr>"]
    cells += ["<tr>" + "".join(f"<td>{_inline(c)}</td>" for c in row) + "</tr>" for row in body]
    return '<div class="scroll"><table>' + "\n".join(cells) + "</table></div>"


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _blocks(markdown: str) -> list[list[str]]:
    blocks: list[list[str]] = []
    for block in re.split(r"\n{2,}", markdown.strip()):
        blocks.append(block.split("\n"))
    return blocks


def render(markdown: str, folder: Path) -> str:
    """HTML of the Markdown that `report.markdown` writes, with its pictures inside."""
    parts = []
    for lines in _blocks(markdown):
        first = lines[0]
        if heading := re.match(r"(#+) (.*)", first):
            level = len(heading[1])
            parts.append(f"<h{level}>{_inline(heading[2])}</h{level}>")
        elif first.startswith("|"):
            parts.append(_table(lines))
        elif first.startswith("```"):
            parts.append("<pre>" + html.escape("\n".join(lines[1:-1])) + "</pre>")
        elif first.startswith("- "):
            parts.append("<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>")
        elif picture := re.match(r"!\[(.*)\]\((.*)\)", first):
            source = _data_uri((folder / picture[2]).read_bytes(), "image/png")
            alt = html.escape(without_escapes(picture[1]))
            parts.append(f'<img alt="{alt}" src="{source}">')
        else:
            parts.append(f"<p>{_inline(' '.join(lines))}</p>")
    return "\n".join(parts)


def _flac(audio: Audio, sample_rate: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(audio.T, -1, 1), sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _players(players: Players, sample_rate: int) -> str:
    if not players:
        return ""
    parts = ["<h2>Listen</h2><p>One plays at a time; a press on another goes on at the same place.</p>"]
    for title, systems in players:
        buttons = "".join(
            f'<button type="button" aria-pressed="false">{html.escape(name)}'
            f'<audio preload="auto" src="{_data_uri(_flac(audio, sample_rate), "audio/flac")}"></audio>'
            "</button>"
            for name, audio in systems.items()
        )
        parts.append(f'<h3>{html.escape(title)}</h3><div class="players">{buttons}</div>')
    return "\n".join(parts)


def page(markdown: str, folder: Path, players: Players, sample_rate: int) -> str:
    """The whole page.

    Args:
        markdown: the report; `folder` is where its pictures are.
        players: per excerpt a title and each system's audio `[channels, samples]`.
    """
    template = Template((resources.files("sonant.evaluation.report") / "page.html").read_text("utf-8"))
    return template.substitute(
        title=html.escape(without_escapes(markdown.split("\n", 1)[0].lstrip("# "))),
        body=f"{render(markdown, folder)}\n{_players(players, sample_rate)}",
    )
