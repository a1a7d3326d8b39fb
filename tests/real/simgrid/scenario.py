"""Scenarios for pipar and for simgrid_actors.cpp: what is simulated, as random numbers and as input of both.

All numbers are integers: nanoseconds, bits per second, bytes. None of them is round, so that two events fall on one
instant only where devices are alike.
"""

import dataclasses
import math
import random

MAX_DEVICES = 8


@dataclasses.dataclass
class Link:
    latency_ns: int
    steps: list  # of (start_ns, rate_bps)
    loop_after_ns: int = 0  # 0: the last rate stays


@dataclasses.dataclass
class Group:
    """Devices that are alike."""

    count: int
    micro_batches: int
    forward_ns: int
    backward_ns: int
    update_ns: int
    server_forward_ns: int
    server_backward_ns: int
    server_update_ns: int
    upload_bytes: int
    download_bytes: int
    model_upload_bytes: int
    model_download_bytes: int
    half_duplex: bool
    up: Link
    down: Link


@dataclasses.dataclass
class Scenario:
    method: str
    iterations: int  # of an epoch
    epochs: int
    aggregate_every: int  # 0: every epoch
    slots: int
    aggregate_ns: int
    groups: list
    server_up: Link | None = None  # the link of the server that all devices share, without latency
    server_down: Link | None = None

    def devices(self):
        return sum(group.count for group in self.groups)


def between(rng, low, high):
    """An integer, its logarithm uniform."""
    return round(math.exp(rng.uniform(math.log(low), math.log(high))))


def random_link(rng, upload_bytes, upload_ns, is_traced):
    """A link that needs some upload_ns for upload_bytes, its rate constant or changing on that scale."""

    def rate():
        return round(8e9 * upload_bytes / upload_ns * math.exp(rng.uniform(-1, 1)))

    latency_ns = rng.choice([0, between(rng, 1e5, 2e8)])
    if not is_traced:
        return Link(latency_ns, [(0, rate())])
    starts, start = [0], 0
    for _ in range(rng.randint(1, 6)):
        start += between(rng, upload_ns / 5, 10 * upload_ns)
        starts.append(start)
    rates = [0 if rng.random() < 0.2 else rate() for _ in starts]
    rates[-1] = rate()
    loop_after_ns = between(rng, upload_ns / 5, 10 * upload_ns) if rng.random() < 0.4 else 0
    return Link(latency_ns, list(zip(starts, rates)), loop_after_ns)


def random_group(rng, method, slots, count):
    """Device, links and server have work of the same order, so that each of them is what others wait for somewhere."""
    micro_batches = rng.randint(1, 6) if method == "pipar" else 1
    upload_bytes = between(rng, 1e4, 1e7)
    model_bytes = between(rng, 1e4, 1e7)
    server_scale = slots / rng.uniform(1, 4)
    up_ns = between(rng, 1e7, 1e9)
    is_traced = rng.random() < 0.5
    return Group(
        count=count,
        micro_batches=micro_batches,
        forward_ns=between(rng, 1e7, 1e9),
        backward_ns=between(rng, 1e7, 1e9),
        update_ns=between(rng, 1e6, 1e8),
        server_forward_ns=between(rng, 1e7 * server_scale, 5e8 * server_scale),
        server_backward_ns=between(rng, 1e7 * server_scale, 5e8 * server_scale),
        server_update_ns=between(rng, 1e6, 2e9 if rng.random() < 0.1 else 1e8),
        upload_bytes=upload_bytes,
        download_bytes=between(rng, 1e4, 1e7),
        model_upload_bytes=model_bytes,
        model_download_bytes=model_bytes,
        half_duplex=rng.random() < 0.25,
        up=random_link(rng, upload_bytes, up_ns, is_traced),
        down=random_link(rng, upload_bytes, up_ns / rng.uniform(1, 4), is_traced and rng.random() < 0.7),
    )


def random_scenario(seed):
    rng = random.Random(seed)
    method = rng.choice(["fl", "sfl", "pipar", "pipar"])
    slots = rng.randint(1, 3)
    groups, left = [], rng.randint(1, MAX_DEVICES)
    while left > 0:
        count = min(left, rng.choice([1, 1, 1, 2, 3]))
        groups.append(random_group(rng, method, slots, count))
        left -= count
    return Scenario(
        method=method,
        iterations=rng.randint(1, 4),
        epochs=rng.randint(1, 2),
        aggregate_every=rng.choice([0, 0, 1, 2, 3]),
        slots=slots,
        aggregate_ns=between(rng, 1e6, 1e8),
        groups=groups,
    )


def server_link(rng, scenario, direction):
    """A third to twice what a device has on average over its own link, so that it is too narrow at times."""
    links = [getattr(group, direction) for group in scenario.groups for _ in range(group.count)]
    mean_bps = sum(rate for link in links for _, rate in link.steps) / sum(len(link.steps) for link in links)

    def rate():
        return round(mean_bps * math.exp(rng.uniform(math.log(1 / 3), math.log(2))))

    if rng.random() < 0.5:
        return Link(0, [(0, rate())])
    starts, start = [0], 0
    for _ in range(rng.randint(1, 6)):
        start += between(rng, 1e7, 5e9)
        starts.append(start)
    return Link(0, [(start, rate()) for start in starts], between(rng, 1e7, 5e9) if rng.random() < 0.4 else 0)


def random_shared_scenario(seed):
    """One of at least two devices, which share a link of the server."""
    rng = random.Random(f"server {seed}")
    scenario = random_scenario(rng.random())
    while scenario.devices() < 2:
        scenario = random_scenario(rng.random())
    scenario.server_up = server_link(rng, scenario, "up")
    scenario.server_down = server_link(rng, scenario, "down")
    return scenario


def decimal(value, digits):
    """value / 10^digits, exactly."""
    return f"{value // 10**digits}.{value % 10**digits:0{digits}d}"


def seconds(ns):
    return decimal(ns, 9)


def link_yaml(link, direction, has_latency=True):
    if len(link.steps) == 1:
        text = f"{direction}_mbps: {decimal(link.steps[0][1], 6)}"
    else:
        steps = ", ".join(f"[{seconds(start)}, {decimal(rate, 6)}]" for start, rate in link.steps)
        text = f"{direction}_trace: [{steps}]"
    if link.loop_after_ns:
        text += f", {direction}_loop_after_s: {seconds(link.loop_after_ns)}"
    if not has_latency:
        return text
    return text + f", {direction}_latency_ms: {decimal(link.latency_ns, 6)}"


def group_yaml(scenario, group):
    is_split = scenario.method != "fl"
    server = f"aggregate_s: {seconds(scenario.aggregate_ns)}"
    sizes = f"model_upload: {group.model_upload_bytes}, model_download: {group.model_download_bytes}"
    if is_split:
        server += (
            f", forward_s: {seconds(group.server_forward_ns)}, backward_s: {seconds(group.server_backward_ns)}"
            f", update_s: {seconds(group.server_update_ns)}"
        )
        sizes += f", upload: {group.upload_bytes}, download: {group.download_bytes}"
    return f"""\
  - count: {group.count}
    network: {{{link_yaml(group.up, "up")}, {link_yaml(group.down, "down")}, duplex: {
        "half" if group.half_duplex else "full"}}}
    pipeline: {{micro_batches: {group.micro_batches}}}
    cost:
      device: {{forward_s: {seconds(group.forward_ns)}, backward_s: {seconds(group.backward_ns)}, update_s: {
        seconds(group.update_ns)}}}
      server: {{{server}}}
      bytes: {{{sizes}}}
"""


def to_yaml(scenario):
    """The experiment file of a scenario."""
    server = f"slots: {scenario.slots}"
    if scenario.server_up:
        up, down = link_yaml(scenario.server_up, "up", False), link_yaml(scenario.server_down, "down", False)
        server += f", link: {{{up}, {down}}}"
    return (
        f"""\
method: {scenario.method}
compute: none
record: {{stages: false}}
training: {{epochs: {scenario.epochs}, aggregate_every: {scenario.aggregate_every or "epoch"}}}
server: {{{server}}}
pipeline: {{split: 1}}
cost: {{kind: table, iterations: {scenario.iterations}}}
devices:
"""
        + "".join(group_yaml(scenario, group) for group in scenario.groups)
    )


def link_text(link):
    return [link.latency_ns, link.loop_after_ns, len(link.steps)] + [word for step in link.steps for word in step]


def to_text(scenario):
    """The input of simgrid_actors: numbers in the order in which it reads them."""
    words = [
        int(scenario.method != "fl"),
        scenario.iterations * scenario.epochs,
        scenario.aggregate_every or scenario.iterations,
        scenario.slots,
        scenario.aggregate_ns,
        scenario.devices(),
        int(scenario.server_up is not None),
    ]
    if scenario.server_up:
        words += link_text(scenario.server_up) + link_text(scenario.server_down)
    for group in scenario.groups:
        fields = [getattr(group, field.name) for field in dataclasses.fields(group)]
        device = fields[1:12] + [int(group.half_duplex)] + link_text(group.up) + link_text(group.down)
        words += device * group.count
    return " ".join(str(word) for word in words) + "\n"
