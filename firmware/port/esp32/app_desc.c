/* What Espressif's boot loader reads first: 256 bytes at the start of the constants (ESP-IDF Programming Guide,
 * "App Image Format", application description). */
#include <stdint.h>

struct app_description {
    uint32_t magic, secure_version, reserved[2];
    char version[32], project[32], time[16], date[16], idf_version[32];
    uint8_t elf_sha256[32]; /* esptool fills it in */
    uint16_t least_efuse_revision, most_efuse_revision;
    uint8_t log2_page, reserved_bytes[3];
    uint32_t reserved_words[18];
};
_Static_assert(sizeof(struct app_description) == 256, "layout");

extern const struct app_description esp_app_desc;
__attribute__((section(".esp_app_desc"), used)) const struct app_description esp_app_desc = {
    .magic = 0xABCD5432u,
    .version = "1",
    .project = "offramp",
    .most_efuse_revision = 0xFFFFu,
    .log2_page = 16,
};
