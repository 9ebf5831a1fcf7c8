"""What users of nn, optim and data sets write, for type checkers: tests/test_types.py has them find nothing here.

It is read, not run.
"""

# ruff: noqa: B007, B018

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, assert_type

import numpy as np

import autodiff as ad
import nn
import optim
from autodiff import Tensor
from nn import functional as F
from nn.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)
from optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn


class Net(nn.Module):
    def __init__(self, d: int, hidden: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(d, hidden), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(hidden, 2)
        self.layers = nn.ModuleList()
        for _ in range(2):
            self.layers.append(nn.Linear(hidden, hidden))
        self.named = nn.ModuleDict({"a": nn.Linear(hidden, hidden)})
        self.scale = nn.Parameter(np.ones(1, np.float32))
        self.skip = nn.Identity()
        self.rnn = nn.LSTM(hidden, hidden)
        self.scales = nn.ParameterList([np.ones(2)])
        self.register_buffer("steps", ad.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        for layer in self.layers:
            h = F.relu(layer(h))
        h = self.named["a"](h) + self.skip(h)
        return self.head(h) * self.scale


class Pair(nn.Module):
    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x, x


class Dicts(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        return {"sum": a + b}


class Wraps(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class SignDescent(optim.Optimizer):
    params: Iterable[Any]
    lr: float = optim.option(default=0.1, allowed=(lambda lr: lr > 0, "a number > 0"))
    momentum: float | None = optim.option(default=None)
    betas: tuple[float, float] = optim.option(default=(0.9, 0.99), kw_only=True)

    def _update(self, group: dict[str, Any], turn: Any, p: Any, g: Any, slots: Any, scratch: Any) -> None:
        p -= group["lr"] * np.sign(g)


net = Net(3)
opt = optim.Adam(net.parameters(), lr=1e-3)
x = ad.tensor(np.ones((4, 3), np.float32))
y = np.array([0, 1, 0, 1])
loss_fn = nn.CrossEntropyLoss()
for epoch in range(2):
    opt.zero_grad()
    loss = loss_fn(net(x), y)
    loss.backward()
    opt.step()
    print(f"{epoch}: {loss.item():.3f}")


def closure() -> Tensor:
    opt.zero_grad()
    loss = loss_fn(net(x), y)
    loss.backward()
    return loss


assert_type(opt.step(closure), Tensor)
assert_type(optim.LBFGS(net.parameters()).step(closure), Tensor)
SignDescent(net.parameters(), 0.1, betas=(0.9, 0.9)).step()
# state
state = net.state_dict()
net.load_state_dict(state)
missing, unexpected = net.load_state_dict({**state, "x": np.ones(1)}, strict=False)
opt.load_state_dict(opt.state_dict())
opt.state_dict()["param_groups"][0]["lr"] * 2
both = {"model": net.state_dict(), "optimizer": opt.state_dict(), "epoch": 3}
Path("run.pkl").write_bytes(pickle.dumps(both))
loaded = pickle.loads(Path("run.pkl").read_bytes())
net.load_state_dict(loaded["model"])
opt.load_state_dict(loaded["optimizer"])
ck: dict[str, Any] = {"model": net.state_dict(), "optimizer": opt.state_dict()}
opt.load_state_dict(ck["optimizer"])
nn.save(net, "net.npz")
nn.load(net, "net.npz")
arrays, meta = optim.load_checkpoint("run.npz")
print(meta["epoch"] + 1, arrays["a"].shape)
optim.save_checkpoint("run.npz", {"w": np.ones(1)}, {"step": 3})
# groups
for group in opt.param_groups:
    group["lr"] *= 0.5
    for p in group["params"]:
        p.requires_grad = True
opt.add_param_group({"params": [ad.tensor([1.0], requires_grad=True)], "lr": 0.1})
groups: list[dict[str, Any]] = [{"params": net.body.parameters(), "lr": 0.1}, {"params": net.head.parameters()}]
optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True)
optim.SGD([{"params": [net.scale]}, {"params": list(net.head.parameters()), "lr": 0.1}], lr=0.01)
optim.AdamW(net.named_parameters(), lr=1e-3, betas=(0.9, 0.95))
optim.SGD([p for n, p in net.named_parameters() if "bias" in n], lr=0.1)
print(opt.state[net.scale]["exp_avg"].shape)
# schedules
sched = optim.StepLR(opt, 10, gamma=0.5)
sched.step()
sched.load_state_dict(sched.state_dict())
warm = optim.LinearLR(opt, 0.1, total_iters=5)
seq = optim.SequentialLR(opt, [warm, optim.CosineAnnealingLR(opt, 10)], milestones=[5])
seq.load_state_dict(seq.state_dict())
plateau = optim.ReduceLROnPlateau(opt, patience=2)
plateau.step(0.5)
optim.LambdaLR(opt, lambda epoch: 0.95**epoch)
optim.lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=10)
SWALR(opt, swa_lr=0.05)
schedulers = [optim.StepLR(opt, 1), optim.ExponentialLR(opt, 0.9)]
for s in schedulers:
    s.step()
optim.ChainedScheduler(schedulers).step()
# hooks
activations: dict[str, Tensor] = {}


def keep(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
    activations["x"] = out


handle = net.body.register_forward_hook(keep)
net.body.register_forward_pre_hook(lambda module, args: None).remove()
handle.remove()


def init(m: nn.Module) -> None:
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


net.apply(init).train().eval()
net.apply(lambda m: m.train()).requires_grad_(False)
# modules
assert_type(net(x), Tensor)
out, second = Pair()(x)
Dicts()(x, x)["sum"].relu()
Dicts()(a=x, b=x)["sum"].relu()
Wraps(net)(x).relu()
Wraps(nn.Linear(3, 3)).inner(x).relu()
seq2 = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
seq2[0](x).relu()
seq2[0].weight.shape
seq2[:1](x).relu()
seq2.append(nn.ReLU()).append(nn.ReLU())
for i, layer in enumerate(seq2):
    print(i, layer)
for name, m in net.named.items():
    print(name, m(x).shape)
net.scales[0].data, net.scales[:1], [q.shape for q in net.scales]
layers: list[nn.Module] = [nn.Linear(3, 3)]
layers.append(nn.ReLU())
nn.Sequential(*layers)(x).relu()
enc = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, activation=F.gelu), 2)
enc(np.zeros((3, 5, 8), np.float32)).mean()
h, (hn, cn) = net.rnn(x)
hn.relu(), cn.relu()
assert_type(nn.Identity()(x), Tensor)
total = sum(p.size for p in net.parameters())
nn.Residual(nn.Linear(3, 3))(x).relu()
model: nn.Module = Net(3) if total else nn.Linear(3, 2)
optim.SGD(model.parameters(), lr=0.1)
model(x).relu()
weights = nn.ParameterDict({"a": np.ones(2)})
weights["a"].shape, [v.shape for v in weights.values()], weights.get("b")
# averages
ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
ema.update_parameters(net)
assert_type(ema(x), Tensor)
ema.module.head.weight.shape
ema.load_state_dict(ema.state_dict())
update_bn([x], ema)
# trainer
trainer = optim.Trainer(net, loss_fn, opt, sched, clip_norm=1.0, patience=3, ema=0.9)
history = trainer.fit((np.ones((4, 3)), y), (np.ones((4, 3)), y), epochs=2)
print(history.train_accuracy[-1] * 100, trainer.evaluate((x, y))[1])
trainer.predict(x).argmax(axis=1)
trainer.fit({"x": np.ones((4, 3)), "targets": y}, steps=3)
trainer.fit(nn.DataLoader(nn.TensorDataset(np.ones((4, 3)), y), batch_size=2))
trainer.model.head.weight.shape


def stop(trainer: optim.Trainer) -> bool:
    return trainer.epoch > 3


optim.Trainer(net, F.mse_loss, opt, callbacks=[stop, optim.JSONLog("x.jsonl")])
optim.Trainer(Pair(), lambda out, t: (out[0] - t).mean(), opt).predict(x)[0].shape
optim.Trainer(Dicts(), None, opt, objective=lambda m, b: m(*b)["sum"].mean()).predict((x, x))["sum"].shape


def vae_step(model: Net, batch: tuple[Tensor, Tensor]) -> Tensor:
    return model(batch[0]).mean()


optim.Trainer(net, None, opt, objective=vae_step)
optim.Trainer(Wraps(net), nn.MSELoss(), opt).find_lr((x, y)).suggestion


def make(kind: str, model: nn.Module) -> optim.Optimizer:
    return optim.SGD(model.parameters(), lr=0.1) if kind == "sgd" else optim.Adam(model.parameters())


def fit(model: nn.Module, optimizer: optim.Optimizer, schedule: optim.Schedule | None = None) -> float:
    optimizer.step()
    if schedule is not None:
        schedule.step()
    return optim.Trainer(model, F.mse_loss, optimizer, schedule).fit((x, y)).loss[-1]


optim.clip_grad_norm_(net.parameters(), 1.0)

images, classes = np.ones((4, 2), np.float32), np.arange(4)
pairs = TensorDataset(images, classes)
assert_type(pairs[0], tuple[Tensor, ...])
linear = nn.Linear(2, 2)
loader = DataLoader(pairs, batch_size=2, shuffle=True, generator=0)
for a, b in loader:
    loss_fn(linear(a), b).backward()
assert_type(loader, DataLoader[list[Tensor]])
for i, (a, b) in enumerate(nn.DataLoader(pairs, 2, True, drop_last=True)):
    linear(a).relu()
train, test = random_split(pairs, [0.5, 0.5], np.random.default_rng(0))
for a, b in DataLoader(train, batch_size=2):
    linear(a).relu()


class Squares(Dataset[tuple[float, float]]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[float, float]:
        return float(index), 2.0


for a, b in DataLoader(Squares(), batch_size=2):
    a.relu()


class Bare(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return images[index], 2


for a, b in DataLoader(Bare(), batch_size=2):
    a.relu()
for a, b in DataLoader(ConcatDataset([Bare(), Bare()]), batch_size=2):
    a.relu()
for a, b in DataLoader(Bare() + Bare(), batch_size=2):
    a.relu()


class D(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        return {"x": images[i]}


for batch in DataLoader(D(), batch_size=2):
    batch["x"].relu()


class Ex(NamedTuple):
    x: Tensor
    n: str


for ex in DataLoader([Ex(ad.tensor(1.0), "a")], batch_size=2):
    ex.x.relu()


class It(IterableDataset[float]):
    def __iter__(self) -> Iterator[float]:
        yield 1.0


for t in DataLoader(It(), batch_size=2):
    t.relu()
for t in DataLoader(images, batch_size=2):
    t.relu()
for row in DataLoader(pairs, batch_size=None):
    row[0].relu()


def pad(batch: list[tuple[float, float]]) -> tuple[Tensor, Tensor]:
    return ad.tensor([b[0] for b in batch]), ad.tensor([b[1] for b in batch])


for p, q in DataLoader(Squares(), 2, collate_fn=pad):
    p.relu(), q.relu()
for p in DataLoader(Squares(), batch_size=2, collate_fn=lambda batch: ad.tensor([b[0] for b in batch])):
    p.relu()
for words in DataLoader(["a", "b"], batch_size=2):
    words[0].upper()
for mixed in DataLoader([("a", images)], batch_size=2):
    print(mixed)
list(BatchSampler(RandomSampler(pairs), 2, drop_last=False))
list(WeightedRandomSampler([0.1, 0.2], 3)), list(SequentialSampler(pairs)), Subset(pairs, [0, 1])[0][0].relu()


def batches(loader: DataLoader) -> Tensor:
    return ad.stack([loss_fn(linear(a), b) for a, b in loader])


batches(loader)
DataLoader(pairs, sampler=RandomSampler(pairs)), DataLoader(pairs, batch_sampler=BatchSampler(range(4), 2, True))
print(len(loader), len(loader.dataset), default_collate([1.0, 2.0]).relu(), default_collate([(1, 2)])[0].relu())
