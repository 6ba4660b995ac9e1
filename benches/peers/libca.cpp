// The libca client, as a competent user writes it: preemptive callbacks, one flush per batch.
#include <cadef.h>
#include <epicsEvent.h>

#include <atomic>

#include "common.hpp"

namespace {

constexpr double TIMEOUT = 60;
// Longest time of reads beside a firehose.
constexpr double FAIR = 2;
constexpr unsigned PRIORITY = 20;

void check(int status, const char* what) {
    if (status != ECA_NORMAL) fail(std::string(what) + ": " + ca_message(status));
}

std::vector<chid> channels;
std::atomic<long> connected{0};
long wanted = 0;
double connected_at = 0;
epicsEvent all_connected(epicsEventEmpty), began(epicsEventEmpty), done(epicsEventEmpty);

void on_connection(connection_handler_args args) {
    if (args.op != CA_OP_CONN_UP) {
        --connected;
    } else if (++connected == wanted) {
        connected_at = now();
        all_connected.signal();
    }
}

// One channel per name, or one per name and circuit: priorities have circuits of their own.
void connect(const std::vector<std::string>& names, unsigned circuits = 1) {
    wanted = long(names.size() * circuits);
    channels.resize(size_t(wanted));
    size_t next = 0;
    for (auto& name : names)
        for (unsigned k = 0; k < circuits; k++)
            check(ca_create_channel(name.c_str(), on_connection, nullptr,
                                    circuits > 1 ? k : PRIORITY, &channels[next++]),
                  "create");
    check(ca_flush_io(), "flush");
    if (!all_connected.wait(TIMEOUT)) fail("only " + std::to_string(connected) + " connected");
}

chid connect_one(const Options& options) {
    connect({options.names()[0]});
    return channels[0];
}

void wait_for(const char* what) {
    if (!done.wait(TIMEOUT)) fail(std::string(what) + " timed out");
}

void on_done(event_handler_args args) {
    check(args.status, "operation");
    done.signal();
}

void read_one(chid channel, chtype type = DBR_DOUBLE, unsigned long count = 1) {
    check(ca_array_get_callback(type, count, channel, on_done, nullptr), "get");
    check(ca_flush_io(), "flush");
    wait_for("get");
}

// One operation outstanding; a tenth more for the warm-up.
template <typename Operation>
void one_by_one(long n, Operation operation) {
    for (long k = 0; k < n / 10 + 1; k++) operation(k);
    std::vector<double> latencies;
    latencies.reserve(size_t(n));
    Meter meter;
    for (long k = 0; k < n; k++) {
        double start = now();
        operation(k);
        latencies.push_back(now() - start);
    }
    meter.result(n, now(), &latencies);
}

void get(const Options& options) {
    chid channel = connect_one(options);
    one_by_one(options.number("n", 20000), [&](long) { read_one(channel); });
}

void put_notify(const Options& options) {
    chid channel = connect_one(options);
    one_by_one(options.number("n", 20000), [&](long k) {
        double value = double(k);
        check(ca_array_put_callback(DBR_DOUBLE, 1, channel, &value, on_done, nullptr), "put");
        check(ca_flush_io(), "flush");
        wait_for("put");
    });
}

std::atomic<long> got{0};

void on_one_of_many(event_handler_args args) {
    check(args.status, "get");
    if (++got == wanted) done.signal();
}

void get_many(const Options& options) {
    connect(options.names());
    auto round = [] {
        got = 0;
        for (chid channel : channels)
            check(ca_array_get_callback(DBR_DOUBLE, 1, channel, on_one_of_many, nullptr), "get");
        check(ca_flush_io(), "flush");
        wait_for("gets");
    };
    round();
    long rounds = options.number("rounds", 20);
    Meter meter;
    for (long k = 0; k < rounds; k++) round();
    meter.result(rounds * wanted, now());
}

void put(const Options& options) {
    chid channel = connect_one(options);
    read_one(channel);
    long n = options.number("n", 200000);
    Meter meter;
    for (long k = 0; k < n; k++) {
        double value = double(k);
        check(ca_array_put(DBR_DOUBLE, 1, channel, &value), "put");
    }
    read_one(channel);
    meter.result(n, now());
}

std::vector<Seen> seen;
std::atomic<long> first_values{0}, complete{0}, updates{0};
double first_update = 0, last_update = 0;

void note_first_update() {
    first_update = now();
    began.signal();
}

// The time starts with the first update, and so does, nearly, the processor time.
Meter meter_from_first_update() {
    if (!began.wait(TIMEOUT)) fail("no update");
    Meter meter;
    meter.started_at(first_update);
    return meter;
}

void on_update(event_handler_args args) {
    check(args.status, "subscription");
    auto& pv = *static_cast<Seen*>(args.usr);
    if (!pv.first) {
        pv.first = true;
        if (++first_values == wanted) done.signal();
        return;
    }
    if (updates++ == 0) note_first_update();
    if (pv.update(static_cast<const dbr_time_double*>(args.dbr)->value) && ++complete == wanted) {
        last_update = now();
        done.signal();
    }
}

void subscribe_all() {
    seen.resize(channels.size());
    for (size_t k = 0; k < channels.size(); k++)
        check(ca_create_subscription(DBR_TIME_DOUBLE, 1, channels[k], DBE_VALUE | DBE_ALARM,
                                     on_update, &seen[k], nullptr),
              "subscribe");
    check(ca_flush_io(), "flush");
    wait_for("first values");
}

void monitor(const Options& options) {
    connect(options.names(), unsigned(options.number("circuits", 1)));
    subscribe_all();
    ready();
    Meter meter = meter_from_first_update();
    wait_for("the last update");
    meter.result(updates, last_update, nullptr, lost(updates, seen));
}

void connect_all(const Options& options) {
    Meter meter;
    connect(options.names());
    meter.result(wanted, connected_at);
}

// What a command does: connect, read, print.
void once(const Options& options) {
    connect(options.names());
    for (chid channel : channels) {
        auto print = [](event_handler_args args) {
            check(args.status, "get");
            printf("%s %g\n", ca_name(args.chid), *static_cast<const double*>(args.dbr));
            if (++got == wanted) done.signal();
        };
        check(ca_array_get_callback(DBR_DOUBLE, 1, channel, print, nullptr), "get");
    }
    check(ca_flush_io(), "flush");
    wait_for("gets");
    fflush(stdout);
}

// Reads the last PV, one read outstanding, while the others are monitored.
void beside(const Options& options) {
    connect(options.names());
    chid read = channels.back();
    channels.pop_back();
    wanted = long(channels.size());
    subscribe_all();
    ready();
    std::vector<double> latencies;
    Meter meter;
    while (long(latencies.size()) < options.number("n", 1000) && now() < meter.start() + FAIR) {
        double start = now();
        read_one(read);
        latencies.push_back(now() - start);
    }
    long reads = long(latencies.size());
    meter.result(reads, now(), &latencies);
}

void memory(const Options& options) {
    hold("started");
    connect(options.names());
    hold("connected");
    subscribe_all();
    hold("subscribed");
}

void get_array(const Options& options) {
    chid channel = connect_one(options);
    unsigned long count = ca_element_count(channel);
    one_by_one(options.number("n", 50), [&](long) { read_one(channel, DBR_DOUBLE, count); });
}

bool first_frame = false;
long frames = 0, last_frame = 0;

void on_frame(event_handler_args args) {
    check(args.status, "subscription");
    if (!first_frame) {
        first_frame = true;
        done.signal();
        return;
    }
    if (frames++ == 0) note_first_update();
    auto* pixels = &static_cast<const dbr_time_char*>(args.dbr)->value;
    if (args.count >= 4 && is_last_frame(pixels)) {
        last_update = now();
        last_frame = frame_number(pixels);
        done.signal();
    }
}

void monitor_frames(const Options& options) {
    chid channel = connect_one(options);
    check(ca_create_subscription(DBR_TIME_CHAR, 0, channel, DBE_VALUE | DBE_ALARM, on_frame,
                                 nullptr, nullptr),
          "subscribe");
    check(ca_flush_io(), "flush");
    wait_for("the first frame");
    ready();
    Meter meter = meter_from_first_update();
    wait_for("the last frame");
    meter.result(frames, last_update, nullptr, lost_frames(frames, last_frame));
}

}  // namespace

int main(int argc, char** argv) {
    Options options(argc, argv);
    const std::map<std::string, void (*)(const Options&)> commands = {
        {"get", get},       {"mget", get_many},        {"putcb", put_notify},
        {"put", put},       {"mon", monitor},          {"conn", connect_all},
        {"once", once},     {"fair", beside},          {"wfget", get_array},
        {"memory", memory}, {"wfmon", monitor_frames},
    };
    auto found = commands.find(options.command());
    if (found == commands.end()) fail("no command " + options.command());
    check(ca_context_create(ca_enable_preemptive_callback), "context");
    found->second(options);
    // The end of the circuits is part of no measurement.
    _exit(0);
}
