"""The smallest model that a transformers Trainer trains: one weight that learns a constant."""


def model():
    import torch

    class OneWeight(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, labels=None):
            return {"loss": (self.weight - labels).pow(2).mean(), "logits": self.weight.expand(len(x), 1)}

    return OneWeight()


def data(examples=24):
    import torch

    return [{"x": torch.ones(1), "labels": torch.ones(1)} for _ in range(examples)]
