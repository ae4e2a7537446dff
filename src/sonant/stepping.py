"""Steps that streams ask of the networks, so that the steps of many streams run as one batch.

What a stream does is a generator: it yields steps that do not wait for each other, is sent what came of
each with the state that follows, and returns its result.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from sonant.config import CodecConfig
from sonant.engine.runtime import Array, Engine, State

BATCH = 8
FRAMES_AT_ONCE = 240
SEGMENTS_AT_ONCE = 8

Coded = tuple[NDArray[np.int16], Array]
Result = TypeVar("Result")
Reply = tuple[Any, State]
Job = Generator[Sequence["Step"], list[Reply], Result]


@dataclass(frozen=True)
class EncodeStep:
    """`audio [T, channels]` to codes `[n_q, F]` and the latents `[F, D]` that they stand for.

    Attributes:
        state: of the stream, None where the recording begins by mirroring or is coded whole.
        last: nothing follows, so that T may be any number and the state does not matter.
        beam: beginnings kept in the search for codes.
    """

    audio: Array
    state: State | None
    n_q: int
    last: bool = False
    beam: int = 1

    def padded(self, samples: int) -> EncodeStep:
        """The same with zeros after it."""
        rows = ((0, samples - len(self.audio)), (0, 0))
        return replace(self, audio=np.pad(self.audio, rows))

    def __len__(self) -> int:
        return len(self.audio)

    @staticmethod
    def run(engine: Engine, steps: Sequence[EncodeStep]) -> list[tuple[Coded, State]]:
        """Run steps of one length and one beam, all with a state or all without.

        Only nearest entries are the same for any number of codebooks after them.
        """
        audio = np.stack([step.audio for step in steps])
        tail = audio.shape[1] % engine.config.hop_length != 0
        latents, states = engine.encode(audio, _stacked(steps), tail)
        codes = engine.quantize(latents, max(step.n_q for step in steps), steps[0].beam)
        return [((codes[k, : s.n_q], latents[k]), _member(states, k)) for k, s in enumerate(steps)]


@dataclass(frozen=True)
class DecodeStep:
    """`codes [n_q, F]` to audio `[F · hop, channels]`; attributes as for `EncodeStep`."""

    codes: NDArray[np.integer]
    state: State | None
    last: bool = False

    def padded(self, frames: int) -> DecodeStep:
        """The same with frames after it."""
        columns = ((0, 0), (0, frames - len(self)))
        return replace(self, codes=np.pad(self.codes, columns))

    def __len__(self) -> int:
        return int(self.codes.shape[1])

    @staticmethod
    def run(engine: Engine, steps: Sequence[DecodeStep]) -> list[tuple[Array, State]]:
        """Run steps of one size, all with a state or all without."""
        codes = np.stack([step.codes for step in steps]).astype(np.int64)
        audio, states = engine.decode(codes, _stacked(steps))
        return [(audio[k], _member(states, k)) for k in range(len(steps))]


Step = EncodeStep | DecodeStep


def run_together(engine: Engine, jobs: Iterable[Job[Result]], batch: int = BATCH) -> list[Result]:
    """The results of jobs, in order; up to `batch` of them run side by side."""
    results: dict[int, Result] = {}
    waiting = enumerate(jobs)
    running: dict[int, tuple[Job[Result], Sequence[Step]]] = {}

    def advance(number: int, job: Job[Result], replies: list[Reply] | None) -> None:
        try:
            running[number] = job, (next(job) if replies is None else job.send(replies))
        except StopIteration as end:
            running.pop(number, None)
            results[number] = end.value

    while True:
        while len(running) < batch and (more := list(islice(waiting, batch - len(running)))):
            for number, job in more:
                advance(number, job, None)
        if not running:
            return [results[number] for number in sorted(results)]
        replies = iter(_replies(engine, [step for _, steps in running.values() for step in steps]))
        for number, (job, steps) in list(running.items()):
            advance(number, job, [*islice(replies, len(steps))])


def _replies(engine: Engine, steps: Sequence[Step]) -> list[Reply]:
    """What comes of every step, in order."""
    replies: dict[int, Reply] = {}
    for group in _groups(steps, engine.config):
        run: Any = type(group[0][1]).run
        ran = run(engine, [step for _, step in group])
        for (place, step), (result, state) in zip(group, ran, strict=True):
            replies[place] = _cut(result, step, steps[place], engine.config), state
    return [replies[place] for place in range(len(steps))]


def ends_do_not_matter(config: CodecConfig) -> bool:
    """Whether what follows the end of an input changes nothing before it, so that zeros may."""
    return config.causal and config.pad_mode == "constant" and config.norm != "time_group_norm"


class _Kind(NamedTuple):
    """What the steps of a group have in common."""

    step: type
    fresh: bool
    codebooks: int
    beam: int
    size: int


def _ends_with_a_frame(step: Step, config: CodecConfig) -> bool:
    """Within a frame every strided layer pads its own input, which zeros after the samples do not."""
    return isinstance(step, DecodeStep) or len(step) % config.hop_length == 0


def _groups(steps: Sequence[Step], config: CodecConfig) -> list[list[tuple[int, Step]]]:
    """Steps that can run as one, with their places.

    Last ones are padded, to join others, where that changes nothing.
    """
    groups: dict[_Kind, list[tuple[int, Step]]] = {}
    endings: dict[_Kind, list[tuple[int, Step]]] = {}
    for place, step in enumerate(steps):
        kind = _Kind(type(step), step.state is None, *_search(step), len(step))
        if step.last and ends_do_not_matter(config) and _ends_with_a_frame(step, config):
            endings.setdefault(kind._replace(size=0), []).append((place, step))
        else:
            groups.setdefault(kind, []).append((place, step))
    for kind, ending in endings.items():
        longest = max(len(step) for _, step in ending)
        own = kind._replace(size=longest)
        fitting = [k for k in groups if k.size >= longest and k == kind._replace(size=k.size)]
        joined = min(fitting, key=lambda k: k.size, default=own)
        group = groups.setdefault(joined, [])
        group += [(place, step.padded(joined.size)) for place, step in ending]
    return [part for group in groups.values() for part in _parts(group, config)]


def _parts(group: list[tuple[int, Step]], config: CodecConfig) -> list[list[tuple[int, Step]]]:
    """Parts of a group that are run as one.

    Activations of frames have to fit into the caches; segments share only what has few.
    """
    step = group[0][1]
    frames = len(step) if isinstance(step, DecodeStep) else config.frames_for(len(step))
    segments = config.segment_length is not None
    size = SEGMENTS_AT_ONCE if segments else max(1, FRAMES_AT_ONCE // max(1, frames))
    return [group[start : start + size] for start in range(0, len(group), size)]


def _search(step: Step) -> tuple[int, int]:
    """Codebooks that a step must share with others of its group, and the beam of its search."""
    if isinstance(step, DecodeStep):
        return len(step.codes), 1
    return (step.n_q if step.beam > 1 else 0), step.beam


def _cut(result: Any, step: Step, asked: Step, config: CodecConfig) -> Any:
    """Without what came of padding."""
    if len(step) == len(asked):
        return result
    if isinstance(asked, EncodeStep):
        codes, latents = result
        frames = config.frames_for(len(asked))
        return codes[:, :frames], latents[:frames]
    return result[: len(asked) * config.hop_length]


def _stacked(steps: Sequence[Step]) -> State | None:
    states = [step.state for step in steps if step.state is not None]
    if len(states) < 2:
        return states[0] if states else None
    return tuple(np.concatenate(arrays) for arrays in zip(*states, strict=True))


def _member(states: State, number: int) -> State:
    return tuple(array[number : number + 1] for array in states)
