#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

void text_base32(struct slice bytes, char *out)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint32_t pending = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        pending = pending << 8 | bytes.data[i];
        for (bits += 8; bits >= 5; bits -= 5)
            *out++ = alphabet[pending >> (bits - 5) & 31];
    }
    if (bits > 0)
        *out++ = alphabet[pending << (5 - bits) & 31];
    *out = '\0';
}

static int base32_value(char c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= '2' && c <= '7')
        return c - '2' + 26;
    return -1;
}

enum err text_from_base32(const char *text, size_t length, uint8_t *out, size_t out_max,
                          size_t *out_size)
{
    uint32_t pending = 0;
    unsigned bits = 0;
    size_t size = 0;
    for (size_t i = 0; i < length; i++) {
        int value = base32_value(text[i]);
        if (value < 0)
            return ERR_FORMAT;
        pending = pending << 5 | (uint32_t)value;
        bits += 5;
        if (bits >= 8) {
            if (size == out_max)
                return ERR_TOO_LARGE;
            bits -= 8;
            out[size++] = (uint8_t)(pending >> bits);
        }
    }
    if (bits >= 5 || (pending & ((1U << bits) - 1)) != 0)
        return ERR_FORMAT;
    *out_size = size;
    return ERR_OK;
}

void text_hex(struct slice bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.size; i++) {
        *out++ = digits[bytes.data[i] >> 4];
        *out++ = digits[bytes.data[i] & 15];
    }
    *out = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum err text_from_hex(const char *text, size_t length, uint8_t *out, size_t out_max,
                       size_t *out_size)
{
    if (length % 2 != 0)
        return ERR_FORMAT;
    if (length / 2 > out_max)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < length / 2; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return ERR_FORMAT;
        out[i] = (uint8_t)(high << 4 | low);
    }
    *out_size = length / 2;
    return ERR_OK;
}

const char *text_size(uint64_t bytes, char out[TEXT_SIZE_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < ARRAY_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    (void)snprintf(out, TEXT_SIZE_SIZE, "%.*f %s", digits, value, units[unit]);
    return out;
}

/* A non-negative decimal number with an optional fraction; *rest is what follows. */
static enum err parse_number(const char *text, double *out, const char **rest)
{
    if (!(text[0] >= '0' && text[0] <= '9'))
        return ERR_FORMAT;
    double value = 0, scale = 1;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (*at - '0');
    if (*at == '.') {
        at++;
        if (!(*at >= '0' && *at <= '9'))
            return ERR_FORMAT;
        for (; *at >= '0' && *at <= '9'; at++)
            value += (*at - '0') * (scale /= 10);
    }
    *out = value;
    *rest = at;
    return ERR_OK;
}

enum err text_parse_size(const char *text, uint64_t *out_bytes)
{
    static const char letters[] = "KMGTP";
    double value;
    const char *rest;
    enum err e = parse_number(text, &value, &rest);
    if (e != ERR_OK)
        return e;
    const char *letter = *rest ? strchr(letters, *rest >= 'a' ? *rest - 'a' + 'A' : *rest) : NULL;
    if (letter) {
        for (const char *l = letters; l <= letter; l++)
            value *= 1024;
        rest++;
        if (*rest == 'i')
            rest++;
    }
    if (*rest == 'B')
        rest++;
    if (*rest != '\0' || value >= 9.2e18)
        return ERR_FORMAT;
    *out_bytes = (uint64_t)value;
    return ERR_OK;
}

enum err text_parse_duration_ms(const char *text, uint64_t *out_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1},     {"s", 1e3},     {"", 1e3},       {"m", 60e3},
                 {"h", 3600e3}, {"d", 86400e3}, {"w", 604800e3}, {"y", 365 * 86400e3}};
    double value;
    const char *rest;
    enum err e = parse_number(text, &value, &rest);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (strcmp(rest, units[i].unit) == 0 && value * units[i].ms < 9.2e18) {
            *out_ms = (uint64_t)(value * units[i].ms);
            return ERR_OK;
        }
    }
    return ERR_FORMAT;
}

const char *text_duration(uint64_t seconds, char out[TEXT_DURATION_SIZE])
{
    unsigned long long hours = seconds / 3600;
    unsigned minutes = (unsigned)(seconds / 60 % 60), left = (unsigned)(seconds % 60);
    if (hours >= 48 && hours % 24)
        (void)snprintf(out, TEXT_DURATION_SIZE, "%llu days %llu h", hours / 24, hours % 24);
    else if (hours >= 48)
        (void)snprintf(out, TEXT_DURATION_SIZE, "%llu days", hours / 24);
    else if (hours)
        (void)snprintf(out, TEXT_DURATION_SIZE, "%llu:%02u:%02u", hours, minutes, left);
    else
        (void)snprintf(out, TEXT_DURATION_SIZE, "%u:%02u", minutes, left);
    return out;
}

const char *text_count(uint64_t count, const char *one, char out[TEXT_COUNT_SIZE])
{
    snprintf(out, TEXT_COUNT_SIZE, "%llu %s%s", (unsigned long long)count, one,
             count == 1 ? "" : "s");
    return out;
}

enum err text_parse_u64(const char *text, uint64_t value_max, uint64_t *out)
{
    uint64_t value = 0;
    if (!*text)
        return ERR_FORMAT;
    for (; *text; text++) {
        if (!(*text >= '0' && *text <= '9'))
            return ERR_FORMAT;
        uint64_t digit = (uint64_t)(*text - '0');
        if (digit > value_max || value > (value_max - digit) / 10)
            return ERR_FORMAT;
        value = value * 10 + digit;
    }
    *out = value;
    return ERR_OK;
}
