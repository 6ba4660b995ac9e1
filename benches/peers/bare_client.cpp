// A client on bare sockets, without library: what any implementation could reach. It is also the
// writer of the monitor workloads, cheap enough not to be the bottleneck.
#include <poll.h>
#include <sys/epoll.h>

#include <deque>

#include "wire.hpp"

namespace {

constexpr size_t SLICE = 32 * 1024;
constexpr int UDP_BUFFER = 4 << 20;
constexpr size_t MAX_DATAGRAM = 1400;
// Names that may be searched at once: some 16 datagrams.
constexpr size_t SEARCH_WINDOW = 480;
constexpr long FRAME = 1360L * 1024 * 3;

int server_port() {
    return int(number_from_env("EPICS_CA_SERVER_PORT", 5064));
}

// Resolves all names; what is silent for 50 ms is asked again. Returns the port of the circuit.
int search(const std::vector<std::string>& names) {
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    option(udp, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER);
    sockaddr_in server = loopback(server_port());
    std::vector<bool> found(names.size());
    size_t left = names.size(), next = 0, outstanding = 0;
    int port = 0;
    std::vector<uint8_t> reply(65536);
    while (left) {
        Out datagram;
        while (next < names.size() && outstanding < SEARCH_WINDOW) {
            datagram.clear();
            datagram.add(VERSION, 0, 0, MINOR);
            for (; next < names.size(); next++) {
                if (found[next]) continue;
                if (datagram.size() + 16 + padded(names[next].size() + 1) > MAX_DATAGRAM) break;
                uint32_t cid = uint32_t(next);
                datagram.add_text(SEARCH, names[next], 5, MINOR, cid, cid);
                outstanding++;
            }
            sendto(udp, datagram.data(), datagram.size(), 0, reinterpret_cast<sockaddr*>(&server),
                   sizeof server);
        }
        pollfd waiting{udp, POLLIN, 0};
        if (poll(&waiting, 1, 50) <= 0) {
            next = outstanding = 0;
            continue;
        }
        ssize_t length = recv(udp, reply.data(), reply.size(), 0);
        Header header;
        for (ssize_t at = 0; at + 16 <= length; at += 16 + ssize_t(header.size)) {
            header.parse(&reply[size_t(at)], size_t(length - at));
            if (header.command != SEARCH || header.p2 >= found.size() || found[header.p2]) continue;
            found[header.p2] = true;
            left--;
            outstanding -= outstanding > 0;
            port = header.type;
        }
    }
    close(udp);
    return port;
}

struct Channel {
    uint32_t sid = 0, count = 0;
};

class Circuit {
   public:
    In in;
    Out out;
    std::vector<Channel> channels;

    void open(int port, unsigned priority = 0) {
        socket_ = socket(AF_INET, SOCK_STREAM, 0);
        option(socket_, IPPROTO_TCP, TCP_NODELAY, 1);
        sockaddr_in server = loopback(port);
        if (::connect(socket_, reinterpret_cast<sockaddr*>(&server), sizeof server) != 0)
            fail("connect");
        out.add(VERSION, 0, uint16_t(priority), MINOR);
        out.add_text(CLIENT_NAME, "bench");
        out.add_text(HOST_NAME, "localhost");
        flush();
    }

    int socket_number() const { return socket_; }

    void flush() {
        while (out.size()) {
            ssize_t n = send(socket_, out.data(), out.size(), MSG_NOSIGNAL);
            if (n <= 0) fail("send");
            out.sent(size_t(n));
        }
        out.clear();
    }

    void receive() {
        if (in.receive(socket_) <= 0) fail("the circuit was lost");
    }

    In::Message wait_for(uint16_t command) {
        In::Message message;
        for (;;) {
            while (in.next(message)) {
                if (message.command == command) return message;
                if (message.command == ERROR) fail("the server says ERROR");
            }
            receive();
        }
    }

    // Adds requests with `add` and counts answers of this command, never so many outstanding that
    // both sides would wait for room.
    template <typename Add, typename Take>
    void stream(size_t n, uint16_t command, Add add, Take take) {
        constexpr size_t WINDOW = 4096;
        size_t asked = 0, answered = 0;
        In::Message message;
        while (answered < n) {
            while (asked < n && asked - answered < WINDOW && out.size() < SLICE) add(asked++);
            flush();
            while (in.next(message)) {
                if (message.command == command) {
                    take(message);
                    answered++;
                } else if (message.command == CREATE_CH_FAIL || message.command == ERROR) {
                    fail("the server refused");
                }
            }
            bool room = asked < n && asked - answered < WINDOW;
            if (answered < n && !room) receive();
        }
    }

    void create(const std::vector<std::string>& names) {
        channels.resize(names.size());
        stream(
            names.size(), CREATE_CHAN,
            [&](size_t k) { out.add_text(CREATE_CHAN, names[k], 0, 0, uint32_t(k), MINOR); },
            [&](const In::Message& message) {
                channels[message.p1] = {message.p2, message.count};
            });
    }

    void add_read(size_t channel, uint16_t type = DBR_DOUBLE, uint32_t count = 1) {
        out.add(READ_NOTIFY, 0, type, count, channels[channel].sid, uint32_t(channel));
    }

    void add_put(uint16_t command, size_t channel, double value) {
        set_double(out.add(command, 8, DBR_DOUBLE, 1, channels[channel].sid, 1), value);
    }

    void add_subscription(size_t channel, uint16_t type, uint32_t count, uint32_t id) {
        uint8_t* mask = out.add(EVENT_ADD, 16, type, count, channels[channel].sid, id);
        memset(mask, 0, 16);
        set16(mask + 12, 5);
    }

    // A read behind other requests: answered when they are done.
    void read(uint16_t type = DBR_DOUBLE) {
        add_read(0, type);
        flush();
        wait_for(READ_NOTIFY);
    }

   private:
    int socket_ = -1;
};

Circuit connect(const std::vector<std::string>& names) {
    Circuit circuit;
    circuit.open(search(names));
    circuit.create(names);
    return circuit;
}

Circuit connect_one(const Options& options) {
    return connect({options.names()[0]});
}

template <typename Operation>
void one_by_one(long n, const std::string& more, Operation operation) {
    for (long k = 0; k < n / 10 + 1; k++) operation(k);
    std::vector<double> latencies;
    latencies.reserve(size_t(n));
    Meter meter;
    for (long k = 0; k < n; k++) {
        double start = now();
        operation(k);
        latencies.push_back(now() - start);
    }
    meter.result(n, now(), &latencies, more);
}

void get(const Options& options) {
    Circuit circuit = connect_one(options);
    one_by_one(options.number("n", 20000), "", [&](long) { circuit.read(); });
}

void put_notify(const Options& options) {
    Circuit circuit = connect_one(options);
    one_by_one(options.number("n", 20000), "", [&](long k) {
        circuit.add_put(WRITE_NOTIFY, 0, double(k));
        circuit.flush();
        circuit.wait_for(WRITE_NOTIFY);
    });
}

void get_many(const Options& options) {
    Circuit circuit = connect(options.names());
    size_t n = circuit.channels.size();
    double sum = 0;
    auto round = [&] {
        circuit.stream(
            n, READ_NOTIFY, [&](size_t k) { circuit.add_read(k); },
            [&](const In::Message& message) { sum += get_double(message.data); });
    };
    round();
    long rounds = options.number("rounds", 20);
    Meter meter;
    for (long k = 0; k < rounds; k++) round();
    meter.result(rounds * long(n), now(), nullptr, "sum=" + std::to_string(sum));
}

void put(const Options& options) {
    Circuit circuit = connect_one(options);
    circuit.read();
    long n = options.number("n", 200000);
    Meter meter;
    for (long k = 0; k < n; k++) {
        circuit.add_put(WRITE, 0, double(k));
        if (circuit.out.size() > SLICE) circuit.flush();
    }
    circuit.read();
    meter.result(n, now());
}

// The writer of the monitor workloads: 1, 2, … N to each PV, then -N; `pace` is puts per second.
void put_rounds(const Options& options) {
    Circuit circuit = connect(options.names());
    long rounds = options.number("rounds", 1000), pace = options.number("pace", 0), puts = 0;
    Meter meter;
    auto put_all = [&](double value) {
        for (size_t k = 0; k < circuit.channels.size(); k++) {
            circuit.add_put(WRITE, k, value);
            puts++;
            if (pace && puts % 16 == 0) {
                circuit.flush();
                sleep_until(meter.start() + double(puts) / double(pace));
            } else if (circuit.out.size() > SLICE) {
                circuit.flush();
            }
        }
    };
    for (long round = 1; round <= rounds; round++) put_all(double(round));
    put_all(-double(rounds));
    circuit.read();
    meter.result(puts, now());
}

void monitor(const Options& options) {
    auto& names = options.names();
    size_t n = names.size();
    unsigned count = unsigned(options.number("circuits", 1));
    int port = search(names), events = epoll_create1(0);
    std::deque<Circuit> circuits(count);
    std::vector<Seen> seen(n * count);
    for (unsigned c = 0; c < count; c++) {
        Circuit& circuit = circuits[c];
        circuit.open(port, c);
        circuit.create(names);
        for (size_t k = 0; k < n; k++) {
            circuit.add_subscription(k, DBR_TIME_DOUBLE, 1, uint32_t(c * n + k));
            if (circuit.out.size() > SLICE) circuit.flush();
        }
        circuit.flush();
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &circuit;
        epoll_ctl(events, EPOLL_CTL_ADD, circuit.socket_number(), &event);
    }
    size_t first = 0, complete = 0;
    long updates = 0;
    Meter meter;
    epoll_event event[64];
    while (complete < seen.size()) {
        int woken = epoll_wait(events, event, 64, -1);
        for (int k = 0; k < woken; k++) {
            auto& circuit = *static_cast<Circuit*>(event[k].data.ptr);
            circuit.receive();
            In::Message message;
            while (circuit.in.next(message)) {
                if (message.command != EVENT_ADD || message.p2 >= seen.size() || !message.size)
                    continue;
                Seen& pv = seen[message.p2];
                if (!pv.first) {
                    pv.first = true;
                    if (++first == seen.size()) ready();
                    continue;
                }
                if (updates++ == 0) meter = Meter();
                double value = get_double(message.data + value_offset(DBR_TIME_DOUBLE));
                complete += pv.update(value);
            }
        }
    }
    meter.result(updates, now(), nullptr, lost(updates, seen));
}

// Reads of the last PV, one outstanding, while the others are monitored on the same circuit.
void beside(const Options& options) {
    Circuit circuit = connect(options.names());
    size_t read = circuit.channels.size() - 1;
    for (size_t k = 0; k < read; k++) {
        circuit.add_subscription(k, DBR_TIME_DOUBLE, 1, uint32_t(k));
        circuit.flush();
        circuit.wait_for(EVENT_ADD);
    }
    ready();
    constexpr double LONGEST = 2.0;
    long n = options.number("n", 3000);
    std::vector<double> latencies;
    Meter meter;
    while (long(latencies.size()) < n && now() - meter.start() < LONGEST) {
        double start = now();
        circuit.add_read(read);
        circuit.flush();
        circuit.wait_for(READ_NOTIFY);
        latencies.push_back(now() - start);
    }
    meter.result(long(latencies.size()), now(), &latencies);
}

void connect_all(const Options& options) {
    Meter meter;
    Circuit circuit = connect(options.names());
    meter.result(long(circuit.channels.size()), now());
}

// What a command does: connect, read, print.
void once(const Options& options) {
    auto& names = options.names();
    Circuit circuit = connect(names);
    circuit.stream(
        names.size(), READ_NOTIFY, [&](size_t k) { circuit.add_read(k); },
        [&](const In::Message& message) {
            printf("%s %g\n", names[message.p2].c_str(), get_double(message.data));
        });
}

void memory(const Options& options) {
    hold("started");
    Circuit circuit = connect(options.names());
    hold("connected");
    circuit.stream(
        circuit.channels.size(), EVENT_ADD,
        [&](size_t k) { circuit.add_subscription(k, DBR_TIME_DOUBLE, 1, uint32_t(k)); },
        [](const In::Message&) {});
    hold("subscribed");
}

// Gets an array of doubles into the caller's memory in the order of this machine.
void get_array(const Options& options) {
    Circuit circuit = connect_one(options);
    uint32_t count = circuit.channels[0].count;
    std::vector<uint64_t> values(count);
    one_by_one(options.number("n", 50), "bytes=" + std::to_string(count * 8ul), [&](long) {
        circuit.add_read(0, DBR_DOUBLE, count);
        circuit.flush();
        In::Message message = circuit.wait_for(READ_NOTIFY);
        for (uint32_t k = 0; k < message.count; k++) {
            uint64_t bits;
            memcpy(&bits, message.data + 8ul * k, sizeof bits);
            values[k] = be64toh(bits);
        }
    });
}

// Fills an array of the server, whose length is otherwise that of the last put.
void fill_array(const Options& options) {
    Circuit circuit = connect_one(options);
    Channel channel = circuit.channels[0];
    uint8_t* data = circuit.out.add(WRITE_NOTIFY, channel.count * 8ul, DBR_DOUBLE, channel.count,
                                    channel.sid, 1);
    for (uint32_t k = 0; k < channel.count; k++) set_double(data + 8ul * k, double(k));
    Meter meter;
    circuit.flush();
    circuit.wait_for(WRITE_NOTIFY);
    meter.result(1, now());
}

void put_frames(const Options& options) {
    Circuit circuit = connect_one(options);
    long n = options.number("n", 300);
    std::vector<uint8_t> frame(FRAME, 7);
    Meter meter;
    for (long k = 1; k <= n; k++) {
        mark_frame(frame.data(), k, k == n);
        uint8_t* data =
            circuit.out.add(WRITE, FRAME, DBR_CHAR, uint32_t(FRAME), circuit.channels[0].sid, 1);
        memcpy(data, frame.data(), FRAME);
        circuit.flush();
    }
    circuit.read(DBR_CHAR);
    meter.result(n, now());
}

void monitor_frames(const Options& options) {
    Circuit circuit = connect_one(options);
    circuit.add_subscription(0, DBR_TIME_CHAR, circuit.channels[0].count, 0);
    circuit.flush();
    circuit.wait_for(EVENT_ADD);
    ready();
    Meter meter;
    for (long frames = 1;; frames++) {
        In::Message message = circuit.wait_for(EVENT_ADD);
        if (frames == 1) meter = Meter();
        const uint8_t* pixels = message.data + value_offset(DBR_TIME_CHAR);
        if (is_last_frame(pixels))
            return meter.result(frames, now(), nullptr, lost_frames(frames, frame_number(pixels)));
    }
}

}  // namespace

int main(int argc, char** argv) {
    Options options(argc, argv);
    const std::map<std::string, void (*)(const Options&)> commands = {
        {"get", get},
        {"mget", get_many},
        {"putcb", put_notify},
        {"put", put},
        {"putstream", put_rounds},
        {"mon", monitor},
        {"fair", beside},
        {"conn", connect_all},
        {"wfget", get_array},
        {"wffill", fill_array},
        {"wfput", put_frames},
        {"memory", memory},
        {"once", once},
        {"wfmon", monitor_frames},
    };
    auto found = commands.find(options.command());
    if (found == commands.end()) fail("no command " + options.command());
    found->second(options);
    fflush(stdout);
    _exit(0);
}
