// The wire format, as far as the bare client and the bare server need it.
#pragma once

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "common.hpp"

constexpr uint16_t MINOR = 13;
constexpr uint16_t DBR_DOUBLE = 6, DBR_CHAR = 4, DBR_TIME_CHAR = 18, DBR_TIME_DOUBLE = 20;

enum Command : uint16_t {
    VERSION = 0,
    EVENT_ADD = 1,
    EVENT_CANCEL = 2,
    WRITE = 4,
    SEARCH = 6,
    ERROR = 11,
    CLEAR_CHANNEL = 12,
    READ_NOTIFY = 15,
    CREATE_CHAN = 18,
    WRITE_NOTIFY = 19,
    CLIENT_NAME = 20,
    HOST_NAME = 21,
    ACCESS_RIGHTS = 22,
    ECHO = 23,
    CREATE_CH_FAIL = 26,
};

inline uint16_t get16(const uint8_t* from) {
    return uint16_t(from[0] << 8 | from[1]);
}

inline uint32_t get32(const uint8_t* from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return be32toh(value);
}

inline double get_double(const uint8_t* from) {
    uint64_t bits;
    memcpy(&bits, from, sizeof bits);
    bits = be64toh(bits);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

inline void set16(uint8_t* to, uint16_t value) {
    to[0] = uint8_t(value >> 8);
    to[1] = uint8_t(value);
}

inline void set32(uint8_t* to, uint32_t value) {
    value = htobe32(value);
    memcpy(to, &value, sizeof value);
}

inline void set_double(uint8_t* to, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = htobe64(bits);
    memcpy(to, &bits, sizeof bits);
}

// Bytes before the value in a structure with status, severity and time.
inline size_t value_offset(uint16_t type) {
    return type == DBR_TIME_DOUBLE ? 16 : type == DBR_TIME_CHAR ? 15 : 0;
}

inline size_t padded(size_t size) {
    return (size + 7) & ~size_t(7);
}

struct Header {
    uint16_t command = 0, type = 0;
    uint32_t size = 0, count = 0, p1 = 0, p2 = 0;

    // The length of the header itself, 0 if it is not all there.
    size_t parse(const uint8_t* from, size_t available) {
        if (available < 16) return 0;
        command = get16(from);
        size = get16(from + 2);
        type = get16(from + 4);
        count = get16(from + 6);
        p1 = get32(from + 8);
        p2 = get32(from + 12);
        if (size != 0xffff) return 16;
        if (available < 24) return 0;
        size = get32(from + 16);
        count = get32(from + 20);
        return 24;
    }

    size_t write(uint8_t* to) const {
        bool large = size >= 0xffff || count > 0xffff;
        set16(to, command);
        set16(to + 2, large ? 0xffff : uint16_t(size));
        set16(to + 4, type);
        set16(to + 6, large ? 0 : uint16_t(count));
        set32(to + 8, p1);
        set32(to + 12, p2);
        if (!large) return 16;
        set32(to + 16, size);
        set32(to + 20, count);
        return 24;
    }
};

// Messages on their way out.
class Out {
   public:
    // Room for a message with `size` bytes of payload, which are returned to be filled.
    uint8_t* add(uint16_t command, size_t size, uint16_t type = 0, uint32_t count = 0,
                 uint32_t p1 = 0, uint32_t p2 = 0) {
        if (bytes_.size() < end_ + 24 + size)
            bytes_.resize(std::max(bytes_.size() * 2, end_ + 24 + size));
        Header header{command, type, uint32_t(size), count, p1, p2};
        uint8_t* payload = &bytes_[end_] + header.write(&bytes_[end_]);
        end_ = size_t(payload - bytes_.data()) + size;
        return payload;
    }

    void add_text(uint16_t command, const std::string& text, uint16_t type = 0, uint32_t count = 0,
                  uint32_t p1 = 0, uint32_t p2 = 0) {
        size_t size = padded(text.size() + 1);
        uint8_t* payload = add(command, size, type, count, p1, p2);
        memset(payload, 0, size);
        memcpy(payload, text.data(), text.size());
    }

    const uint8_t* data() const { return bytes_.data() + sent_; }
    size_t size() const { return end_ - sent_; }
    void sent(size_t n) { sent_ += n; }
    void clear() { end_ = sent_ = 0; }

    // Gives back what large arrays took.
    void shrink(size_t above) {
        if (bytes_.size() > above) std::vector<uint8_t>().swap(bytes_);
    }

   private:
    std::vector<uint8_t> bytes_;
    size_t end_ = 0, sent_ = 0;
};

// Bytes on their way in; grows until the longest message fits.
class In {
   public:
    struct Message : Header {
        const uint8_t* data = nullptr;
    };

    bool next(Message& message) {
        size_t available = end_ - begin_;
        size_t header = message.parse(&bytes_[begin_], available);
        if (!header) return false;
        size_t whole = header + message.size;
        if (available < whole) {
            if (whole + CHUNK > bytes_.size()) bytes_.resize(whole + CHUNK);
            return false;
        }
        message.data = &bytes_[begin_] + header;
        begin_ += whole;
        return true;
    }

    // One `recv`; what it returned.
    ssize_t receive(int socket, int flags = 0) {
        if (begin_ == end_) {
            begin_ = end_ = 0;
        } else if (begin_ && bytes_.size() - end_ < CHUNK) {
            memmove(&bytes_[0], &bytes_[begin_], end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
        ssize_t got = recv(socket, &bytes_[end_], bytes_.size() - end_, flags);
        if (got > 0) end_ += size_t(got);
        return got;
    }

   private:
    static constexpr size_t CHUNK = 64 * 1024;
    std::vector<uint8_t> bytes_ = std::vector<uint8_t>(2 * CHUNK);
    size_t begin_ = 0, end_ = 0;
};

inline sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(uint16_t(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

inline void option(int socket, int level, int name, int value) {
    setsockopt(socket, level, name, &value, sizeof value);
}
