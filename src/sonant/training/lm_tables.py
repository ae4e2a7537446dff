"""Tables of a language model that begin as images of the codec's codebooks.

Embeddings and output layers are linear images of the codebooks and learn what differs: the model starts
with knowing which codes sound alike, which is worth hours of training.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from sonant.nn.language_model import LanguageModel


class FromCodebook(nn.Module):
    """Parametrises a table: a learnt linear image of a codebook plus a learnt difference."""

    def __init__(self, codebook: Tensor, projection: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("codebook", codebook)
        self._projection = [projection]

    def forward(self, difference: Tensor) -> Tensor:
        """The table; a row too many in front, for a missing code, is learnt alone."""
        image = self._projection[0](self.codebook)
        return difference + F.pad(image, (0, 0, len(difference) - len(image), 0))


def start_from_codebooks(model: LanguageModel, codebooks: Tensor) -> nn.ModuleList:
    """Tie the tables of `model` to codebooks `[n_q, bins, D]`; returns what has to be trained with it."""
    power = codebooks.square().sum(2, keepdim=True).mean(1, keepdim=True)
    as_input, as_output = codebooks / power.sum().sqrt(), codebooks / power.sqrt()
    tables: list[tuple[list[nn.Module], Tensor, float]] = [
        (list(model.emb), as_input, 1.0),
        (list(model.linears), as_output, 0.3 * model.config.dim**-0.5),
    ]
    if model.conditioner is not None:
        tables.append((list(model.conditioner.emb), as_input, 1.0))
    size, dim = codebooks.shape[2], model.config.dim
    projections = nn.ModuleList(nn.Linear(size, dim, bias=False) for _ in tables)
    for projection, (group, books, scale) in zip(projections, tables, strict=True):
        nn.init.normal_(projection.weight, std=scale)
        for k, table in enumerate(group):
            nn.init.normal_(table.weight, std=0.01)  # type: ignore[arg-type]
            parametrize.register_parametrization(table, "weight", FromCodebook(books[k], projection))
    for linear in model.linears:
        nn.init.zeros_(linear.bias)  # type: ignore[arg-type]
    return projections


def untied(model: LanguageModel) -> dict[str, Tensor]:
    """The state of a model under the official names, on the CPU, parametrised tables written out."""
    state = {k: v for k, v in model.state_dict().items() if "parametrizations" not in k}
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.Linear) and parametrize.is_parametrized(module):
            state[f"{name}.weight"] = module.weight
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
