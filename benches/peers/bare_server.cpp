// A server on bare sockets, without database or records: what any server could reach. One thread,
// one read and one write per batch. It serves doubles B:0 … B:N-1, WF (10^6 doubles) and IMG (a
// camera frame) on 127.0.0.1 until its standard input is closed.
#include <fcntl.h>
#include <sys/epoll.h>

#include <memory>
#include <unordered_map>

#include "wire.hpp"

namespace {

// Bytes that wait for a slow reader before its updates are squashed.
constexpr size_t HIGH_WATER = 1 << 20;
constexpr int UDP_BUFFER = 4 << 20;
constexpr uint32_t WAVE = 1000000, FRAME = 1360 * 1024 * 3;
constexpr long EPICS_EPOCH = 631152000;

struct Circuit;
struct Pv;

struct Subscription {
    Circuit* circuit;
    Pv* pv;
    uint32_t id, count;
    uint16_t type;
    bool dirty = false;
};

struct Pv {
    uint16_t type;
    uint32_t count;
    std::vector<uint8_t> image;
    uint32_t seconds = 1, nanos = 0;
    std::vector<Subscription*> subscriptions;
};

struct Circuit {
    int socket;
    In in;
    Out out;
    std::vector<Pv*> channels;
    std::unordered_map<uint32_t, std::unique_ptr<Subscription>> subscriptions;
    std::vector<Subscription*> dirty;
    bool wants_write = false, queued = false;
};

std::unordered_map<std::string, std::unique_ptr<Pv>> pvs;
std::vector<Circuit*> to_flush;
int events, port;

void queue(Circuit& circuit) {
    if (!circuit.queued) to_flush.push_back(&circuit);
    circuit.queued = true;
}

void add_value(Circuit& circuit, uint16_t command, const Pv& pv, uint16_t type, uint32_t count,
               uint32_t id) {
    if (count == 0 || count > pv.count) count = pv.count;
    size_t offset = value_offset(type), bytes = count * size_t(pv.type == DBR_DOUBLE ? 8 : 1);
    size_t size = padded(offset + bytes);
    uint8_t* data = circuit.out.add(command, size, type, count, 1, id);
    if (offset) {
        memset(data, 0, offset);
        set32(data + 4, pv.seconds);
        set32(data + 8, pv.nanos);
    }
    memcpy(data + offset, pv.image.data(), bytes);
    memset(data + offset + bytes, 0, size - offset - bytes);
}

void watch(Circuit& circuit, bool writes) {
    if (circuit.wants_write == writes) return;
    circuit.wants_write = writes;
    epoll_event event{};
    event.events = writes ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.ptr = &circuit;
    epoll_ctl(events, EPOLL_CTL_MOD, circuit.socket, &event);
}

void flush(Circuit& circuit) {
    for (;;) {
        while (circuit.out.size()) {
            ssize_t n = send(circuit.socket, circuit.out.data(), circuit.out.size(), MSG_NOSIGNAL);
            if (n < 0) {
                if (errno == EAGAIN) watch(circuit, true);
                return;
            }
            circuit.out.sent(size_t(n));
        }
        circuit.out.clear();
        if (circuit.dirty.empty()) break;
        std::vector<Subscription*> dirty;
        dirty.swap(circuit.dirty);
        for (Subscription* sub : dirty) {
            if (circuit.out.size() > HIGH_WATER) {
                circuit.dirty.push_back(sub);
                continue;
            }
            sub->dirty = false;
            add_value(circuit, EVENT_ADD, *sub->pv, sub->type, sub->count, sub->id);
        }
    }
    circuit.out.shrink(64 * HIGH_WATER);
    watch(circuit, false);
}

void post(Pv& pv) {
    for (Subscription* sub : pv.subscriptions) {
        Circuit& circuit = *sub->circuit;
        if (sub->dirty) continue;
        if (circuit.out.size() < HIGH_WATER) {
            add_value(circuit, EVENT_ADD, pv, sub->type, sub->count, sub->id);
        } else {
            sub->dirty = true;
            circuit.dirty.push_back(sub);
        }
        queue(circuit);
    }
}

void store(Pv& pv, const In::Message& put) {
    timespec time{};
    clock_gettime(CLOCK_REALTIME, &time);
    pv.seconds = uint32_t(time.tv_sec - EPICS_EPOCH);
    pv.nanos = uint32_t(time.tv_nsec);
    size_t bytes = put.count * size_t(pv.type == DBR_DOUBLE ? 8 : 1);
    memcpy(pv.image.data(), put.data, std::min({size_t(put.size), bytes, pv.image.size()}));
    post(pv);
}

template <typename T>
void erase(std::vector<T>& from, const T& what) {
    from.erase(std::remove(from.begin(), from.end(), what), from.end());
}

void drop(Circuit* circuit) {
    for (auto& entry : circuit->subscriptions)
        erase(entry.second->pv->subscriptions, entry.second.get());
    if (circuit->queued) erase(to_flush, circuit);
    close(circuit->socket);
    delete circuit;
}

std::string name_in(const uint8_t* data, size_t size) {
    return std::string(reinterpret_cast<const char*>(data),
                       strnlen(reinterpret_cast<const char*>(data), size));
}

void create_channel(Circuit& circuit, const In::Message& message) {
    auto found = pvs.find(name_in(message.data, message.size));
    if (found == pvs.end()) {
        circuit.out.add(CREATE_CH_FAIL, 0, 0, 0, message.p1);
        return;
    }
    Pv* pv = found->second.get();
    uint32_t sid = uint32_t(circuit.channels.size());
    circuit.channels.push_back(pv);
    circuit.out.add(ACCESS_RIGHTS, 0, 0, 0, message.p1, 3);
    circuit.out.add(CREATE_CHAN, 0, pv->type, pv->count, message.p1, sid);
}

void subscribe(Circuit& circuit, Pv& pv, const In::Message& message) {
    auto* sub = new Subscription{&circuit, &pv, message.p2, message.count, message.type};
    circuit.subscriptions[message.p2].reset(sub);
    pv.subscriptions.push_back(sub);
    add_value(circuit, EVENT_ADD, pv, message.type, message.count, message.p2);
}

void handle(Circuit& circuit, const In::Message& message) {
    if (message.command == CREATE_CHAN) {
        create_channel(circuit, message);
    } else if (message.command == ECHO) {
        circuit.out.add(ECHO, 0);
    } else if (message.p1 < circuit.channels.size()) {
        Pv& pv = *circuit.channels[message.p1];
        switch (message.command) {
            case READ_NOTIFY:
                add_value(circuit, READ_NOTIFY, pv, message.type, message.count, message.p2);
                break;
            case WRITE:
                store(pv, message);
                return;
            case WRITE_NOTIFY:
                store(pv, message);
                circuit.out.add(WRITE_NOTIFY, 0, message.type, message.count, 1, message.p2);
                break;
            case EVENT_ADD:
                subscribe(circuit, pv, message);
                break;
            default:
                return;
        }
    }
    if (circuit.out.size()) queue(circuit);
}

// False if the circuit is gone.
bool receive(Circuit* circuit) {
    ssize_t n = circuit->in.receive(circuit->socket, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        drop(circuit);
        return false;
    }
    In::Message message;
    while (circuit->in.next(message)) handle(*circuit, message);
    return true;
}

void accept_all(int listener) {
    for (;;) {
        int socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
        if (socket < 0) return;
        option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
        auto* circuit = new Circuit;
        circuit->socket = socket;
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = circuit;
        epoll_ctl(events, EPOLL_CTL_ADD, socket, &event);
        circuit->out.add(VERSION, 0, 0, MINOR);
        queue(*circuit);
    }
}

void answer_searches(int udp) {
    static uint8_t datagram[65536];
    sockaddr_in from{};
    socklen_t length = sizeof from;
    auto* address = reinterpret_cast<sockaddr*>(&from);
    ssize_t n;
    while ((n = recvfrom(udp, datagram, sizeof datagram, 0, address, &length)) > 0) {
        Out reply;
        auto begin = [&] {
            reply.clear();
            reply.add(VERSION, 0, 0, MINOR);
        };
        begin();
        Header header;
        for (size_t at = 0, end = size_t(n); at + 16 <= end; at += 16 + header.size) {
            header.parse(datagram + at, end - at);
            if (at + 16 + header.size > end) break;
            if (header.command != SEARCH || !pvs.count(name_in(datagram + at + 16, header.size)))
                continue;
            if (reply.size() > 1400) {
                sendto(udp, reply.data(), reply.size(), 0, address, length);
                begin();
            }
            uint8_t* version = reply.add(SEARCH, 8, uint16_t(port), 0, 0xffffffff, header.p1);
            memset(version, 0, 8);
            set16(version, MINOR);
        }
        if (reply.size() > 16) sendto(udp, reply.data(), reply.size(), 0, address, length);
    }
}

int bound(int type) {
    int socket = ::socket(AF_INET, type | SOCK_NONBLOCK, 0);
    sockaddr_in address = loopback(port);
    if (type == SOCK_STREAM) option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    if (type == SOCK_DGRAM) option(socket, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
    if (bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
    if (type == SOCK_STREAM && listen(socket, 512) != 0) fail("listen");
    epoll_event event{};
    event.events = EPOLLIN;
    // Circuits are pointers, these two and standard input are their small numbers.
    event.data.u64 = uint64_t(socket);
    epoll_ctl(events, EPOLL_CTL_ADD, socket, &event);
    return socket;
}

void make_pvs(long doubles) {
    auto make = [](const std::string& name, uint16_t type, uint32_t count) {
        size_t bytes = count * size_t(type == DBR_DOUBLE ? 8 : 1);
        pvs[name].reset(new Pv{type, count, std::vector<uint8_t>(bytes), 1, 0, {}});
    };
    pvs.reserve(size_t(doubles) + 2);
    for (long k = 0; k < doubles; k++) make("B:" + std::to_string(k), DBR_DOUBLE, 1);
    make("WF", DBR_DOUBLE, WAVE);
    make("IMG", DBR_CHAR, FRAME);
}

}  // namespace

int main(int argc, char** argv) {
    make_pvs(argc > 1 ? atol(argv[1]) : 1000);
    port = int(number_from_env("EPICS_CAS_SERVER_PORT", 5064));
    events = epoll_create1(0);
    int udp = bound(SOCK_DGRAM), listener = bound(SOCK_STREAM);
    epoll_event input{};
    input.events = EPOLLIN;
    epoll_ctl(events, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    epoll_event event[128];
    for (;;) {
        int woken = epoll_wait(events, event, 128, -1);
        for (int k = 0; k < woken; k++) {
            uint64_t number = event[k].data.u64;
            char ignored;
            if (number == STDIN_FILENO) {
                if (read(STDIN_FILENO, &ignored, 1) <= 0) return 0;
            } else if (number == uint64_t(listener)) {
                accept_all(listener);
            } else if (number == uint64_t(udp)) {
                answer_searches(udp);
            } else {
                auto* circuit = static_cast<Circuit*>(event[k].data.ptr);
                bool alive =
                    !(event[k].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || receive(circuit);
                if (alive && event[k].events & EPOLLOUT) queue(*circuit);
            }
        }
        for (size_t k = 0; k < to_flush.size(); k++) {
            to_flush[k]->queued = false;
            flush(*to_flush[k]);
        }
        to_flush.clear();
    }
}
