"""Cells that know nothing of this room but its protocol."""

import torch
from torch import nn


class JoinedLSTM(nn.Module):
    """PyTorch's LSTM cell behind the protocol of `Recurrence`: its state is h and c, joined."""

    def __init__(self, features, units):
        super().__init__()
        self.cell = nn.LSTMCell(features, units, dtype=torch.float64)
        self.state_size = 2 * units

    def project(self, x):
        return x

    def step(self, h, p):
        return torch.cat(self.cell(p, h.chunk(2, dim=-1)), dim=-1)


class SquareRoot:
    """h_t = √h_{t-1}: no module at all, and a derivative that is infinite at 0."""

    state_size = 1

    def project(self, x):
        return x

    def step(self, h, p):
        return h.sqrt()
