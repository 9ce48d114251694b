// A C++17 program on the C library: the headers' every declaration compiles as C++ and links.
#include "offramp_queue.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

struct alignas(OFR_ALIGN) Block {
    std::array<std::uint8_t, OFR_ALIGN> bytes;
};

std::vector<Block> read(const char *path, std::size_t &bytes) {
    std::FILE *file = std::fopen(path, "rb");
    std::vector<Block> content(4096);
    bytes = file == nullptr ? 0 : std::fread(content.data(), 1, content.size() * sizeof(Block), file);
    if (file != nullptr) {
        std::fclose(file);
    }
    return content;
}

int fail(const char *what, ofr_status status) {
    std::printf("%s: %s\n", what, ofr_status_text(status));
    return 1;
}

bool run_by_policy(ofr_model &model) {
    ofr_policy policy{};
    ofr_policy_settings settings{};
    settings.confirm = 2;
    std::uint32_t least = 0;
    return ofr_policy_start(&policy, &model) == OFR_OK && ofr_policy_set(&policy, &settings, &least) == OFR_OK &&
           ofr_policy_run(&policy) == OFR_DONE && ofr_policy_outcome(&policy)->exit == OFR_NO_EXIT &&
           ofr_policy_expected(&policy) == 0;
}

bool run_in_queue(ofr_model &model) {
    const std::vector<std::uint8_t> pixels(ofr_input(&model, 0).bytes);
    const std::array<const void *, 1> inputs{pixels.data()};
    std::array<ofr_request, 1> places{};
    ofr_level level{};
    level.model = &model;
    level.places = places.data();
    level.n_places = 1;
    ofr_queue queue{};
    const ofr_request request{inputs.data(), 5};
    ofr_finished finished{};
    if (ofr_queue_start(&queue, &level, 1) != OFR_OK || ofr_queue_push(&queue, 0, &request) != OFR_OK ||
        ofr_queue_push(&queue, 0, &request) != OFR_E_FULL) {
        return false;
    }
    ofr_status status = OFR_MORE;
    while (status == OFR_MORE) {
        status = ofr_queue_step(&queue, 0, &finished);
    }
    return status == OFR_DONE && finished.tag == 5 && ofr_queue_waiting(&queue, 0) == 0;
}

int run(ofr_model &model) {
    const ofr_buffer input = ofr_input(&model, 0);
    for (std::uint32_t i = 0; i < input.bytes; i++) {
        static_cast<std::int8_t *>(input.data)[i] = static_cast<std::int8_t>(i);
    }
    ofr_status status = ofr_begin(&model);
    while (status >= OFR_OK && status != OFR_DONE) {
        status = ofr_step(&model);
    }
    ofr_buffer output{};
    if (status == OFR_DONE) {
        status = ofr_result(&model, 0, &output);
    }
    if (status != OFR_OK) {
        return fail("run", status);
    }
    for (std::uint32_t i = 0; i < output.bytes; i++) {
        std::printf("%d ", static_cast<std::int8_t *>(output.data)[i]);
    }
    std::printf("%u\n", ofr_position(&model));
    ofr_cancel(&model);
    ofr_reset_state(&model);
    return run_by_policy(model) && run_in_queue(model) && ofr_run(&model) == OFR_DONE ? 0 : 2;
}

} // namespace

int main(int argc, char **argv) {
    std::size_t bytes = 0;
    const std::vector<Block> blob = read(argc > 1 ? argv[1] : "", bytes);
    ofr_requirements need{};
    ofr_status status = ofr_peek(blob.data(), bytes, 0, &need);
    if (status == OFR_OK) {
        status = ofr_check_crc(blob.data(), bytes);
    }
    if (status != OFR_OK) {
        return fail("peek", status);
    }
    std::vector<Block> arena(need.arena_bytes / OFR_ALIGN + 1), state(need.state_bytes / OFR_ALIGN + 1);
    ofr_model model{};
    ofr_fault fault{};
    status = ofr_load(&model, blob.data(), bytes, 0, &ofr_linked_kernels, arena.data(), need.arena_bytes, state.data(),
                      need.state_bytes, &fault);
    return status == OFR_OK ? run(model) : fail("load", status);
}
