"""All losses of a step, the discriminators' own step, and the gradient that the codec receives."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sonant.nn.discriminators import Discriminators
from sonant.training.adversarial import discriminator_loss, feature_loss, generator_loss
from sonant.training.auditory import AuditoryLoss
from sonant.training.balancer import Balancer
from sonant.training.cyclostationarity import CyclostationarityLoss
from sonant.training.devices import multiplies_bfloat16
from sonant.training.fine_structure import FineStructureLoss
from sonant.training.losses import MelLoss, time_loss
from sonant.training.optimizers import load_moments, make_optimizers
from sonant.training.periodicity import PeriodicityLoss
from sonant.training.pulses import PulseLoss
from sonant.training.recipe import ADVERSARIAL_LOSSES, RECONSTRUCTION_LOSSES, Recipe
from sonant.training.structure import StructureLoss

Losses = dict[str, Tensor]


class _Adversarial(NamedTuple):
    """What a step has from the discriminators.

    Attributes:
        losses: of the codec, none before it hears of them.
        values: their own loss, if they learn.
        optimizers: that have a gradient to step by, once the codec has its own.
    """

    losses: Losses
    values: dict[str, float]
    optimizers: list[Any]


NO_DISCRIMINATORS = _Adversarial({}, {}, [])


class Objective:
    """The losses of the paper's equation 4, and of our own, with the discriminators they need.

    Args:
        recipe: weights of the losses and behaviour of the discriminators.
        fabric: places and wraps the discriminators.
        discriminators: by number of codebooks, or one under 0 for all.
    """

    def __init__(self, recipe: Recipe, fabric: Fabric, discriminators: dict[int, Discriminators]) -> None:
        self.recipe, self.fabric = recipe, fabric
        loss = recipe.loss
        self.weights = {name: getattr(loss, name) for name in RECONSTRUCTION_LOSSES + ADVERSARIAL_LOSSES}
        self.balancer = Balancer(self.weights)
        self.mel_loss = MelLoss(
            recipe.model.sample_rate,
            loss.mel_exponents,
            log_l2=loss.mel_l2 == "log",
            root_alpha=loss.mel_alpha == "sqrt",
        ).to(fabric.device)
        self.auditory_loss: AuditoryLoss | None = None
        if loss.noise_to_mask or loss.level:
            self.auditory_loss = AuditoryLoss(recipe.model.sample_rate).to(fabric.device)
        sample_rate, hop_length = recipe.model.sample_rate, recipe.model.hop_length
        patterns: dict[str, Callable[[], nn.Module]] = {
            "structure": partial(StructureLoss, sample_rate),
            "fine_structure": partial(FineStructureLoss, sample_rate),
            "periodicity": partial(PeriodicityLoss, sample_rate, hop_length),
            "pulses": partial(PulseLoss, sample_rate),
            "cyclostationarity": partial(CyclostationarityLoss, sample_rate, hop_length),
        }
        self.pattern_losses = {
            name: make().to(fabric.device) for name, make in patterns.items() if self.weights[name]
        }
        self.discriminators: dict[int, tuple[Any, list[Any]]] = {}
        rate, how = recipe.discriminator.learning_rate, recipe.optimizer
        for key, network in discriminators.items():
            network, *optimizers = fabric.setup(
                network, *make_optimizers(network, how.kind, rate, how.betas)
            )
            self.discriminators[key] = (network, optimizers)

    def backward(
        self,
        step: int,
        n_q: int,
        audio: Tensor,
        decoded: Tensor,
        of_network: Losses,
        draw: random.Random,
    ) -> dict[str, float]:
        """Backpropagate into the codec, then let the discriminators take their step; returns the losses.

        Args:
            step: number of the step.
            n_q: codebooks of this batch, which choose the discriminators.
            audio, decoded: `[B, T, channels]`.
            of_network: losses by name that are not of the audio, and stay outside the balancer.
            draw: decides whether the discriminators learn.
        """
        network_output, decoded = decoded, decoded.detach().requires_grad_()
        losses = {"time": time_loss(audio, decoded), "mel": self.mel_loss(audio, decoded)}
        if self.auditory_loss is not None:
            losses |= self.auditory_loss(audio, decoded)._asdict()
        losses |= {name: loss(audio, decoded) for name, loss in self.pattern_losses.items()}
        adversarial = self._adversarial(step, n_q, audio, decoded, draw)
        losses |= adversarial.losses
        outside = sum(getattr(self.recipe.loss, name) * loss for name, loss in of_network.items())
        if self.recipe.loss.balancer:
            gradient = self.balancer.gradient(losses, decoded)
        else:
            weighted = sum(self.weights[name] * loss for name, loss in losses.items())
            (gradient,) = torch.autograd.grad(weighted, decoded)
        self.fabric.backward((network_output * gradient).sum() + outside)
        for optimizer in adversarial.optimizers:
            optimizer.step()
        named = losses | of_network
        values = dict(zip(named, torch.stack([*named.values()]).tolist(), strict=True))
        return adversarial.values | values

    def _adversarial(
        self, step: int, n_q: int, audio: Tensor, decoded: Tensor, draw: random.Random
    ) -> _Adversarial:
        """Whether the discriminators learn and are heard at a step, and what comes of it; as `backward`."""
        part = self.recipe.discriminator
        chosen = self.discriminators.get(n_q if part.per_bandwidth else 0)
        if chosen is None or step < part.start_step:
            return NO_DISCRIMINATORS
        learn = draw.random() < part.update_probability
        heard = step >= part.start_step + part.warmup_steps
        if not learn and not heard:
            return NO_DISCRIMINATORS
        return self._discriminate(*chosen, audio, decoded, learn, heard)

    def _discriminate(
        self,
        network: Any,
        optimizers: list[Any],
        audio: Tensor,
        decoded: Tensor,
        learn: bool,
        heard: bool,
    ) -> _Adversarial:
        """The adversarial losses, and a gradient of the discriminators.

        One pass over the decoded audio, a leaf, serves both. They step after the codec's gradient: features
        of the original and of the decoded audio have to be those of the same discriminators. For that they
        are also in evaluation from the first audio on: a spectral norm moves with every pass in training.
        """
        losses: Losses = {}
        values: dict[str, float] = {}
        learning: list[Any] = []
        real_audio, fake_audio = audio.transpose(1, 2), decoded.transpose(1, 2)
        with torch.set_grad_enabled(learn), self._autocast():
            real_logits, real = (network if learn else network.module)(real_audio)
        network.eval()
        with self._autocast():
            logits, fake = network.module(fake_audio)
        if learn:
            loss = discriminator_loss(real_logits, logits)
            network.zero_grad()
            weights = [*network.parameters()]
            self.fabric.backward(loss, inputs=weights, retain_graph=heard)
            norm = torch.nn.utils.clip_grad_norm_(weights, float("inf"))
            learning = optimizers if norm.isfinite() else []
            values["discriminator"] = loss.item()
        if heard:
            relative = self.recipe.loss.relative_features
            losses = {"generator": generator_loss(logits), "feature": feature_loss(real, fake, relative)}
        network.train()
        return _Adversarial(losses, values, learning)

    def _autocast(self) -> AbstractContextManager[Any]:
        """What the discriminators compute in."""
        device = self.fabric.device
        if self.recipe.discriminator.bfloat16 and multiplies_bfloat16(device):
            return torch.autocast(device.type, torch.bfloat16)
        return self.fabric.autocast()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "balancer": self.balancer.state_dict(),
            "discriminators": {
                key: (network.state_dict(), [optimizer.state_dict() for optimizer in optimizers])
                for key, (network, optimizers) in self.discriminators.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint; discriminators that it lacks begin anew."""
        self.balancer.load_state_dict(state["balancer"])
        for key, (network, optimizers) in self.discriminators.items():
            if key in state["discriminators"]:
                weights, moments = state["discriminators"][key]
                network.load_state_dict(weights)
                for optimizer, moment in zip(optimizers, moments, strict=True):
                    load_moments(optimizer, moment)
