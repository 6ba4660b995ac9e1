// What the yardstick programs share: options, clocks, the line that a run ends with.
//
// A client is started as `PROGRAM COMMAND [--option value …] [PV …]`, finds the server through the
// EPICS_CA_* variables, and prints `RESULT key=value …`, or `FAIL reason`. Subscribers print
// `READY` when all have their first value. BENCH_SERVER_PID names the process whose processor time
// is told beside the client's own.
#pragma once

#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

// Whatever hangs ends by itself, also when nobody is left to kill it.
constexpr unsigned MAX_SECONDS = 120;

inline double seconds(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
}

inline double now() {
    return seconds(CLOCK_MONOTONIC);
}

inline void sleep_until(double due) {
    double wait = due - now();
    if (wait > 50e-6) usleep(useconds_t(wait * 1e6));
}

[[noreturn]] inline void fail(const std::string& reason) {
    printf("FAIL %s\n", reason.c_str());
    fflush(stdout);
    _exit(1);
}

inline long number_from_env(const char* name, long otherwise) {
    const char* text = getenv(name);
    return text ? atol(text) : otherwise;
}

// `--key value` pairs; what is left are PV names.
class Options {
   public:
    Options(int argc, char** argv) {
        if (argc < 2) fail("no command given");
        alarm(MAX_SECONDS);
        command_ = argv[1];
        for (int i = 2; i < argc; i++) {
            bool option = strncmp(argv[i], "--", 2) == 0;
            if (option && i + 1 < argc) {
                options_[argv[i] + 2] = argv[i + 1];
                i++;
            } else {
                names_.push_back(argv[i]);
            }
        }
        for (long k = 0; k < number("count", 0); k++)
            names_.push_back(text("prefix", "B:") + std::to_string(k));
    }

    const std::string& command() const { return command_; }

    std::string text(const char* key, const char* otherwise) const {
        auto found = options_.find(key);
        return found == options_.end() ? otherwise : found->second;
    }

    long number(const char* key, long otherwise) const {
        auto found = options_.find(key);
        return found == options_.end() ? otherwise : atol(found->second.c_str());
    }

    const std::vector<std::string>& names() const {
        if (names_.empty()) fail("no PV names");
        return names_;
    }

   private:
    std::string command_;
    std::map<std::string, std::string> options_;
    std::vector<std::string> names_;
};

// Voluntary context switches of all threads of a process.
inline long switches_of(long pid) {
    std::string tasks = "/proc/" + std::to_string(pid) + "/task";
    DIR* directory = opendir(tasks.c_str());
    if (!directory) return 0;
    long sum = 0;
    while (dirent* entry = readdir(directory)) {
        if (entry->d_name[0] == '.') continue;
        FILE* status = fopen((tasks + "/" + entry->d_name + "/status").c_str(), "r");
        if (!status) continue;
        char line[256];
        long count = 0;
        while (fgets(line, sizeof line, status))
            if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1) sum += count;
        fclose(status);
    }
    closedir(directory);
    return sum;
}

inline long resident_kb() {
    FILE* file = fopen("/proc/self/statm", "r");
    long total = 0, resident = 0;
    if (file) {
        if (fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
        fclose(file);
    }
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

// Wall clock, processor time and context switches since it was made.
class Meter {
   public:
    Meter() : server_(number_from_env("BENCH_SERVER_PID", 0)) {
        if (server_ && clock_getcpuclockid(pid_t(server_), &server_clock_) != 0) server_ = 0;
        server_switches_ = server_ ? switches_of(server_) : 0;
        switches_ = own_switches();
        server_cpu_ = server_ ? seconds(server_clock_) : 0;
        cpu_ = seconds(CLOCK_PROCESS_CPUTIME_ID);
        start_ = now();
    }

    double start() const { return start_; }
    // Moves the start to an event that another thread has seen.
    void started_at(double start) { start_ = start; }

    // Ends the measurement and prints it; `end` is when the last operation was done.
    void result(long ops, double end, std::vector<double>* latencies = nullptr,
                const std::string& more = "") const {
        double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_;
        double server_cpu = server_ ? seconds(server_clock_) - server_cpu_ : 0;
        long switches = own_switches() - switches_;
        long server_switches = server_ ? switches_of(server_) - server_switches_ : 0;
        printf("RESULT ops=%ld secs=%.9f cpu_ns=%.0f switches=%ld", ops, end - start_, cpu * 1e9,
               switches);
        if (server_)
            printf(" server_cpu_ns=%.0f server_switches=%ld", server_cpu * 1e9, server_switches);
        if (latencies && !latencies->empty()) {
            std::sort(latencies->begin(), latencies->end());
            auto at = [&](double part) {
                size_t index = size_t(part * double(latencies->size()));
                return (*latencies)[std::min(index, latencies->size() - 1)] * 1e6;
            };
            printf(" p50_us=%.3f p90_us=%.3f p99_us=%.3f max_us=%.3f", at(.5), at(.9), at(.99),
                   latencies->back() * 1e6);
        }
        printf(" rss_kb=%ld %s\n", resident_kb(), more.c_str());
        fflush(stdout);
    }

   private:
    static long own_switches() {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        return usage.ru_nvcsw;
    }

    long server_;
    clockid_t server_clock_{};
    double start_, cpu_, server_cpu_;
    long switches_, server_switches_;
};

// What a subscriber has seen of one PV. Writers send 1, 2, … N and then -N.
struct Seen {
    double last = 0;
    bool first = false, done = false;

    // True if the update completes the PV.
    bool update(double value) {
        last = value < 0 ? -value : value;
        bool completes = value < 0 && !done;
        done = done || value < 0;
        return completes;
    }
};

// The part of the produced updates that was delivered is 1 - lost.
inline std::string lost(long delivered, const std::vector<Seen>& all) {
    double produced = 0;
    for (auto& seen : all) produced += seen.last + 1;
    double part = produced > 0 ? 1 - double(delivered) / produced : 0;
    return "produced=" + std::to_string(long(produced)) + " lost=" + std::to_string(part);
}

// Frames carry their number and a mark on the last one.
inline void mark_frame(uint8_t* frame, long number, bool last) {
    frame[0] = frame[1] = last ? 0xff : 0;
    frame[2] = uint8_t(number >> 8);
    frame[3] = uint8_t(number);
}

inline bool is_last_frame(const uint8_t* frame) {
    return frame[0] == 0xff && frame[1] == 0xff;
}

inline long frame_number(const uint8_t* frame) {
    return frame[2] << 8 | frame[3];
}

inline std::string lost_frames(long delivered, long produced) {
    double part = produced ? 1 - double(delivered) / double(produced) : 0;
    return "produced=" + std::to_string(produced) + " lost=" + std::to_string(part);
}

inline void ready() {
    printf("READY\n");
    fflush(stdout);
}

// Tells that a state is reached and waits until the harness has looked at the memory.
inline void hold(const char* state) {
    printf("HOLD %s rss_kb=%ld\n", state, resident_kb());
    fflush(stdout);
    if (getchar() == EOF) _exit(0);
}
