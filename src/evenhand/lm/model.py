"""The language model as evenhand sees it: weights, tokenizer, family row, identity. The one type that holds state."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evenhand.core.component import Layout, Space
from evenhand.core.errors import CannotRun
from evenhand.core.progress import Progress, silent
from evenhand.lm.family import Family, Kind, layout_of, transposed, writer_inputs, writer_outputs
from evenhand.lm.turns import Asking

if TYPE_CHECKING:
    from evenhand.lm.generation.decoding import Decoding


@dataclass(frozen=True, slots=True)
class Identity:
    """What exactly was loaded: where from, and either the hub's commit or our sha256 of the folder."""

    source: str
    revision: str = ""
    sha256: str = ""
    dtype: str = "float32"
    chat: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the identity as plain data."""
        return {"source": self.source, "revision": self.revision, "sha256": self.sha256, "dtype": self.dtype,
                "chat": self.chat}  # fmt: skip


@dataclass(eq=False)
class LM:
    """A Hugging Face model and tokenizer with the row that says where its parts are.

    `chat` says whether prompts go through the tokenizer's chat template; `budget` is the number of tokens forwarded at
    once (found by itself, halved when memory runs out); `notify` receives one plain line whenever something is decided
    on the user's behalf; `progress` is told how far work is whose caller asked for no report (`reporting`); `workplace`
    is a folder where work of hours keeps its state, so that a killed run goes on (`keeping`); `edits` is the stack of
    edits applied right now, and `asking` what they make of the questions that are put to the model, `decoding` of its
    next-token distributions; `said` is, for the length of one pass, which of its tokens come after a prompt (`run`),
    and `prompt_slots`, for that of transformers' `generate`, how long its prompt is.
    """

    model: Any
    tokenizer: Any
    family: Family
    identity: Identity
    chat: bool = False
    budget: int = 8192
    notify: Callable[[str], None] = lambda line: None
    progress: Progress = silent
    workplace: Path | None = None
    edits: list[object] = field(default_factory=list[object])
    asking: tuple[Asking, ...] = ()
    decoding: Decoding | None = None
    said: torch.Tensor | None = None
    prompt_slots: int | None = None
    _layouts: dict[Space, Layout] = field(default_factory=dict[Space, Layout], repr=False)

    @contextmanager
    def reporting(self, progress: Progress) -> Generator[None]:
        """Let what runs in this block, a locator's or a method's work, report how far it is."""
        before, self.progress = self.progress, progress
        try:
            yield
        finally:
            self.progress = before

    @contextmanager
    def keeping(self, folder: Path) -> Generator[None]:
        """Let what runs in this block keep its state in a folder of its own; the caller removes it at the end."""
        before, self.workplace = self.workplace, folder
        try:
            yield
        finally:
            self.workplace = before

    def run(self, inputs: dict[str, Any]) -> Any:
        """Run the model on its arguments; `said` among them is ours.

        It is true where a token, [row pos], comes after the prompt: an option being scored, the model's own answer.
        Without it all of a pass that begins a sequence is prompt, and nothing of one that goes on over a cache.
        """
        before, self.said = self.said, inputs.get("said")
        try:
            return self.model(**{name: value for name, value in inputs.items() if name != "said"})
        finally:
            self.said = before

    @property
    def kind(self) -> Kind:
        """`causal`, `masked` or `encoder-decoder`."""
        return self.family.kind

    @property
    def device(self) -> torch.device:
        """Device that inputs go to: that of the input embeddings, or the accelerator when they are offloaded."""
        weight: torch.Tensor = self.model.get_input_embeddings().weight
        if weight.device.type != "meta":
            return weight.device
        hook = getattr(self.model.get_input_embeddings(), "_hf_hook", None)
        return torch.device(getattr(hook, "execution_device", "cpu") or "cpu")

    @property
    def head(self) -> Any:
        """The output embedding; raises CannotRun for an encoder without language-model head."""
        head: Any = self.model.get_output_embeddings()
        if head is None:
            raise CannotRun(
                f"{self.identity.source} is an encoder without language-model head: it predicts no tokens, so there is "
                "nothing to score. Use a scenario of embeddings (weat, seat), or a checkpoint with its head"
            )
        return head

    def layout(self, space: Space) -> Layout:
        """Return every unit of a space in this model."""
        if space not in self._layouts:
            self._layouts[space] = layout_of(self.model, self.family, space)
        return self._layouts[space]

    def module(self, path: str) -> nn.Module:
        """Return the module at a dotted path."""
        return self.model.get_submodule(path)

    def quantised(self) -> bool:
        """Whether weights are stored quantised, so that they can be measured but not edited."""
        return (
            getattr(self.model, "hf_quantizer", None) is not None
            or getattr(self.model.config, "quantization_config", None) is not None
        )

    def editable_weight(self, path: str) -> torch.Tensor:
        """Return the weight of the linear map at `path`, or raise why it cannot be edited in place.

        Refused: quantised weights, weights that are not floating point or have not two axes, and weights that are
        offloaded (on `meta`), where an in-place edit would silently change nothing.
        """
        module = self.module(path)
        weight: torch.Tensor = module.get_parameter("weight")
        if self.quantised() or not weight.is_floating_point():
            raise CannotRun(
                f"{path}: the model is quantised, so its weights cannot be edited; use mechanism 'activation', or load "
                "it unquantised"
            )
        wanted = (writer_outputs(module), writer_inputs(module))
        if tuple(weight.shape) != (wanted[::-1] if transposed(module) else wanted):
            raise CannotRun(f"{path}: weight of shape {tuple(weight.shape)}, expected {wanted[0]} by {wanted[1]}")
        if weight.device.type == "meta":
            raise CannotRun(
                f"{path}: the weight is offloaded, so an edit in place would change nothing; use "
                "mechanism 'activation', or load with a device_map that keeps it in memory"
            )
        return weight
