// simgrid_actors < SCENARIO: one scenario of docs/timing-model.md as SimGrid actors. Prints its makespan in seconds,
// the number of stages and the processor time of the simulation. scenario.py describes and writes the input.
//
// Every device, slot, link direction and arrival is an actor; lengths are executed by SimGrid's CPU model, bits and
// latencies carried by its network model, rates that change are its bandwidth profiles. What the model adds to SimGrid
// is the order: a link carries one whole message at a time, and the server serves in order of arrival.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <deque>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <simgrid/kernel/ProfileBuilder.hpp>
#include <simgrid/s4u.hpp>
#include <xbt/log.h>

namespace profiles = simgrid::kernel::profile;
namespace s4u = simgrid::s4u;

namespace {

constexpr double ns_per_s = 1e9;
constexpr double host_speed = ns_per_s; // so that one "flop" lasts a nanosecond
constexpr double bits_per_byte = 8;
// Carries the latency alone: what it is given has one byte, which takes a femtosecond.
constexpr double wire_bytes_per_s = 1e15;
// An outage: SimGrid cannot start a transfer on a link whose rate is 0. A minute of this is 60 millionths of a byte.
constexpr double outage_bytes_per_s = 1e-6;

struct LinkInput {
  double latency_s = 0;
  double loop_after_s = 0;                      // 0: does not loop
  std::vector<std::pair<double, double>> steps; // from this second on, bytes a second

  bool changes() const { return steps.size() > 1; }
};

struct DeviceInput {
  int micro_batches = 1;
  double forward_ns = 0, backward_ns = 0, update_ns = 0;
  double server_forward_ns = 0, server_backward_ns = 0, server_update_ns = 0; // an update of 0: there is none
  std::uint64_t upload_bytes = 0, download_bytes = 0, model_upload_bytes = 0, model_download_bytes = 0;
  bool half_duplex = false;
  LinkInput up, down;
};

struct Scenario {
  bool split = true; // false: the device has the whole network
  int iterations = 1, aggregate_every = 1, slots = 1;
  double aggregate_ns = 0;
  bool shares_link = false;
  LinkInput server_up, server_down; // where all devices share them
  std::vector<DeviceInput> devices;
};

LinkInput read_link(std::istream &in) {
  LinkInput link;
  std::size_t steps = 0;
  double latency_ns = 0, loop_after_ns = 0;
  in >> latency_ns >> loop_after_ns >> steps;
  link.latency_s = latency_ns / ns_per_s;
  link.loop_after_s = loop_after_ns / ns_per_s;
  for (std::size_t step = 0; step < steps; step++) {
    double start_ns = 0, rate_bps = 0;
    in >> start_ns >> rate_bps;
    link.steps.emplace_back(start_ns / ns_per_s, std::max(rate_bps / bits_per_byte, outage_bytes_per_s));
  }
  return link;
}

Scenario read_scenario(std::istream &in) {
  Scenario scenario;
  std::size_t devices = 0;
  in >> scenario.split >> scenario.iterations >> scenario.aggregate_every >> scenario.slots >> scenario.aggregate_ns >>
      devices >> scenario.shares_link;
  if (scenario.shares_link) {
    scenario.server_up = read_link(in);
    scenario.server_down = read_link(in);
  }
  for (std::size_t k = 0; k < devices && in; k++) {
    DeviceInput device;
    in >> device.micro_batches >> device.forward_ns >> device.backward_ns >> device.update_ns;
    in >> device.server_forward_ns >> device.server_backward_ns >> device.server_update_ns;
    in >> device.upload_bytes >> device.download_bytes >> device.model_upload_bytes >> device.model_download_bytes;
    in >> device.half_duplex;
    device.up = read_link(in);
    device.down = read_link(in);
    scenario.devices.push_back(device);
  }
  if (!in)
    throw std::runtime_error("the scenario ends too early or has a word that is no number");
  return scenario;
}

// What arrives at the end of a latency.
struct Message {
  bool is_model;
};

struct Transfer {
  double ready_s;
  int micro_batch;
  bool is_download;
  std::uint64_t bytes;
  bool is_model;

  bool operator<(const Transfer &other) const {
    return std::tie(ready_s, micro_batch, is_download) < std::tie(other.ready_s, other.micro_batch, other.is_download);
  }
};

// A resource that carries one message at a time: a direction of a device's link, or both in half duplex.
struct Carrier {
  std::vector<Transfer> waiting;
  s4u::SemaphorePtr messages = s4u::Semaphore::create(0);

  void send(const Transfer &transfer) {
    waiting.push_back(transfer);
    messages->release();
  }
};

struct Arrival {
  double time_s;
  std::size_t device;
};

struct World {
  explicit World(Scenario input) : scenario(std::move(input)) {}

  Scenario scenario;
  std::int64_t stages = 0;

  s4u::Host *server = nullptr;
  std::vector<s4u::Host *> device_hosts, gateways; // a gateway is the far end of a device's uplink and downlink
  std::vector<s4u::Link *> uplinks, downlinks;
  s4u::Link *server_up = nullptr, *server_down = nullptr; // which SimGrid shares among devices, max-min fair
  std::vector<s4u::Mailbox *> to_server, to_device;
  std::deque<Carrier> carriers;
  s4u::MutexPtr raises = s4u::Mutex::create();
  std::vector<Carrier *> up, down; // of a device; the same one in half duplex

  // The server's queue and its slots.
  std::vector<Arrival> queue;
  std::vector<bool> replica_busy;
  std::vector<int> done; // micro-batches of the iteration that the replica has finished
  std::set<std::size_t> idle_slots;
  std::vector<s4u::SemaphorePtr> slot_work;
  std::vector<std::size_t> slot_device;
  std::size_t models = 0;
  s4u::SemaphorePtr all_models = s4u::Semaphore::create(0);
};

void compute(World &world, double length_ns) {
  world.stages++;
  s4u::this_actor::execute(length_ns);
}

void send(World &world, Carrier *carrier, int micro_batch, bool is_download, std::uint64_t bytes, bool is_model) {
  world.stages++;
  carrier->send({s4u::Engine::get_clock(), micro_batch, is_download, bytes, is_model});
}

// Lets all other actors react to what ends at this instant before the caller decides.
void settle() {
  for (int turn = 0; turn < 4; turn++)
    s4u::this_actor::yield();
}

// SimGrid caps a communication at the rates its links have when it starts, also after they have become faster. So rates
// are raised for that instant, in which no time passes; by one actor at a time, for each call gives way to the others.
s4u::CommPtr start_transfer(World &world, s4u::Host *from, s4u::Host *to, std::uint64_t bytes,
                            const std::vector<s4u::Link *> &links, bool changes) {
  if (!changes)
    return s4u::Comm::sendto_async(from, to, bytes);
  world.raises->lock();
  std::vector<double> bytes_per_s;
  for (s4u::Link *link : links) {
    bytes_per_s.push_back(link->get_bandwidth());
    link->set_bandwidth(wire_bytes_per_s);
  }
  s4u::CommPtr transfer = s4u::Comm::sendto_async(from, to, bytes);
  for (std::size_t place = 0; place < links.size(); place++)
    links[place]->set_bandwidth(bytes_per_s[place]);
  world.raises->unlock();
  return transfer;
}

void carry(World &world, std::size_t k, Carrier *carrier) {
  for (;;) {
    carrier->messages->acquire();
    settle();
    auto first = std::min_element(carrier->waiting.begin(), carrier->waiting.end());
    const Transfer transfer = *first;
    carrier->waiting.erase(first);
    s4u::Host *from = transfer.is_download ? world.server : world.device_hosts[k];
    std::vector<s4u::Link *> links = {transfer.is_download ? world.downlinks[k] : world.uplinks[k]};
    const LinkInput &input = transfer.is_download ? world.scenario.devices[k].down : world.scenario.devices[k].up;
    bool changes = input.changes();
    if (world.scenario.shares_link) {
      links.push_back(transfer.is_download ? world.server_down : world.server_up);
      changes |= (transfer.is_download ? world.scenario.server_down : world.scenario.server_up).changes();
    }
    start_transfer(world, from, world.gateways[k], transfer.bytes, links, changes)->wait();
    s4u::Mailbox *box = transfer.is_download ? world.to_device[k] : world.to_server[k];
    box->put_init(new Message{transfer.is_model}, 1)->detach();
  }
}

// Gives the free slots, lowest first, what arrived first of what can start.
void dispatch(World &world) {
  while (!world.idle_slots.empty()) {
    auto best = world.queue.end();
    for (auto it = world.queue.begin(); it != world.queue.end(); ++it) {
      if (world.replica_busy[it->device])
        continue;
      if (best == world.queue.end() || std::tie(it->time_s, it->device) < std::tie(best->time_s, best->device))
        best = it;
    }
    if (best == world.queue.end())
      return;
    const std::size_t slot = *world.idle_slots.begin();
    world.idle_slots.erase(world.idle_slots.begin());
    world.slot_device[slot] = best->device;
    world.replica_busy[best->device] = true;
    world.queue.erase(best);
    world.slot_work[slot]->release();
  }
}

void aggregate_if_ready(World &world) {
  const bool is_busy =
      std::any_of(world.replica_busy.begin(), world.replica_busy.end(), [](bool busy) { return busy; });
  if (world.models < world.scenario.devices.size() || is_busy)
    return;
  world.models = 0;
  world.all_models->release();
}

void run_slot(World &world, std::size_t slot) {
  for (;;) {
    world.slot_work[slot]->acquire();
    const std::size_t k = world.slot_device[slot];
    const DeviceInput &device = world.scenario.devices[k];
    compute(world, device.server_forward_ns);
    compute(world, device.server_backward_ns);
    send(world, world.down[k], world.done[k], true, device.download_bytes, false);
    world.done[k]++;
    if (world.done[k] == device.micro_batches) {
      world.done[k] = 0;
      if (device.server_update_ns > 0)
        compute(world, device.server_update_ns);
    }
    world.replica_busy[k] = false;
    world.idle_slots.insert(slot);
    settle();
    dispatch(world);
    aggregate_if_ready(world);
  }
}

void receive_at_server(World &world, std::size_t k) {
  world.to_server[k]->set_receiver(s4u::Actor::self());
  for (;;) {
    const auto message = world.to_server[k]->get_unique<Message>();
    if (message->is_model) {
      world.models++;
      aggregate_if_ready(world);
    } else {
      world.queue.push_back({s4u::Engine::get_clock(), k});
      settle();
      dispatch(world);
    }
  }
}

void run_aggregation(World &world) {
  for (;;) {
    world.all_models->acquire();
    compute(world, world.scenario.aggregate_ns);
    for (std::size_t k = 0; k < world.scenario.devices.size(); k++)
      send(world, world.down[k], 0, true, world.scenario.devices[k].model_download_bytes, true);
  }
}

void run_device(World &world, std::size_t k) {
  const Scenario &scenario = world.scenario;
  const DeviceInput &device = scenario.devices[k];
  world.to_device[k]->set_receiver(s4u::Actor::self());
  for (int iteration = 1; iteration <= scenario.iterations; iteration++) {
    for (int j = 0; j < device.micro_batches; j++) {
      compute(world, device.forward_ns);
      if (scenario.split)
        send(world, world.up[k], j, false, device.upload_bytes, false);
    }
    for (int j = 0; j < device.micro_batches; j++) {
      if (scenario.split)
        world.to_device[k]->get_unique<Message>();
      compute(world, device.backward_ns);
    }
    compute(world, device.update_ns);
    if (iteration % scenario.aggregate_every == 0 || iteration == scenario.iterations) {
      send(world, world.up[k], 0, false, device.model_upload_bytes, true);
      world.to_device[k]->get_unique<Message>();
    }
  }
}

s4u::Link *create_link(s4u::NetZone *zone, const std::string &name, const LinkInput &input) {
  s4u::Link *link = zone->create_link(name, input.steps.front().second);
  if (input.changes()) {
    // Every event says how long after the one before it comes. Called again when they are used up.
    const auto append = [input](std::vector<profiles::DatedValue> &events) {
      const bool is_first = events.empty();
      if (!is_first && input.loop_after_s <= 0)
        return;
      double previous_s = is_first ? 0 : -input.loop_after_s;
      for (const auto &[start_s, bytes_per_s] : input.steps) {
        events.emplace_back(start_s - previous_s, bytes_per_s);
        previous_s = start_s;
      }
    };
    link->set_bandwidth_profile(profiles::ProfileBuilder::from_callback(name, append, -1));
  }
  return link->seal();
}

s4u::Link *create_wire(s4u::NetZone *zone, const std::string &name, double latency_s) {
  return zone->create_link(name, wire_bytes_per_s)
      ->set_latency(latency_s)
      ->set_sharing_policy(s4u::Link::SharingPolicy::FATPIPE)
      ->seal();
}

void add_route(s4u::NetZone *zone, s4u::Host *from, s4u::Host *to, s4u::Link *link, s4u::Link *shared = nullptr) {
  std::vector<s4u::LinkInRoute> links = {s4u::LinkInRoute(link)};
  if (shared != nullptr)
    links.emplace_back(shared);
  zone->add_route(from->get_netpoint(), to->get_netpoint(), nullptr, nullptr, links, false);
}

void create_platform(World &world) {
  s4u::NetZone *zone = s4u::create_full_zone("world");
  world.server = zone->create_host("server", host_speed)->set_core_count(world.scenario.slots)->seal();
  if (world.scenario.shares_link) {
    world.server_up = create_link(zone, "server-up", world.scenario.server_up);
    world.server_down = create_link(zone, "server-down", world.scenario.server_down);
  }
  for (std::size_t k = 0; k < world.scenario.devices.size(); k++) {
    const DeviceInput &device = world.scenario.devices[k];
    const std::string number = std::to_string(k);
    world.device_hosts.push_back(zone->create_host("device" + number, host_speed)->seal());
    world.gateways.push_back(zone->create_host("gateway" + number, host_speed)->seal());
    world.uplinks.push_back(create_link(zone, "up" + number, device.up));
    world.downlinks.push_back(create_link(zone, "down" + number, device.down));
    add_route(zone, world.device_hosts[k], world.gateways[k], world.uplinks[k], world.server_up);
    add_route(zone, world.gateways[k], world.server, create_wire(zone, "upwire" + number, device.up.latency_s));
    add_route(zone, world.server, world.gateways[k], world.downlinks[k], world.server_down);
    add_route(zone, world.gateways[k], world.device_hosts[k],
              create_wire(zone, "downwire" + number, device.down.latency_s));
    world.to_server.push_back(s4u::Mailbox::by_name("server" + number));
    world.to_device.push_back(s4u::Mailbox::by_name("device" + number));
  }
  zone->seal();
}

void create_actors(World &world) {
  const std::size_t devices = world.scenario.devices.size();
  const auto slots = static_cast<std::size_t>(world.scenario.slots);
  world.replica_busy.assign(devices, false);
  world.done.assign(devices, 0);
  world.slot_device.assign(slots, 0);
  for (std::size_t slot = 0; slot < slots; slot++) {
    world.idle_slots.insert(slot);
    world.slot_work.push_back(s4u::Semaphore::create(0));
    s4u::Actor::create("slot", world.server, [&world, slot] { run_slot(world, slot); })->daemonize();
  }
  s4u::Actor::create("aggregation", world.server, [&world] { run_aggregation(world); })->daemonize();
  for (std::size_t k = 0; k < devices; k++) {
    s4u::Host *gateway = world.gateways[k];
    Carrier *up = &world.carriers.emplace_back();
    s4u::Actor::create("uplink", gateway, [&world, k, up] { carry(world, k, up); })->daemonize();
    Carrier *down = up;
    if (!world.scenario.devices[k].half_duplex) {
      down = &world.carriers.emplace_back();
      s4u::Actor::create("downlink", gateway, [&world, k, down] { carry(world, k, down); })->daemonize();
    }
    world.up.push_back(up);
    world.down.push_back(down);
    s4u::Actor::create("arrivals", world.server, [&world, k] { receive_at_server(world, k); })->daemonize();
    s4u::Actor::create("device", world.device_hosts[k], [&world, k] { run_device(world, k); });
  }
}

} // namespace

int main(int argc, char **argv) {
  s4u::Engine engine(&argc, argv);
  xbt_log_control_set("xbt_cfg.thresh:warning"); // it would announce each setting
  // Rates and latencies as they are given: no TCP window, no share for acknowledgements, no calibrated factors.
  s4u::Engine::set_config("network/model:CM02");
  s4u::Engine::set_config("network/TCP-gamma:0");
  s4u::Engine::set_config("network/crosstraffic:0");
  s4u::Engine::set_config("network/bandwidth-factor:1");
  s4u::Engine::set_config("network/latency-factor:1");
  s4u::Engine::set_config("network/weight-S:0");
  s4u::Engine::set_config("surf/precision:1e-12");
  try {
    World world(read_scenario(std::cin));
    create_platform(world);
    create_actors(world);
    const std::clock_t start = std::clock();
    engine.run();
    const double processor_s = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("%.9f %lld %.6f\n", s4u::Engine::get_clock(), static_cast<long long>(world.stages), processor_s);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "simgrid_actors: %s\n", error.what());
    return 1;
  }
  return 0;
}
