// SPDX-License-Identifier: Apache-2.0
#include "manager/snapshot/decompressor.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

namespace ocirun::snapshot {
namespace {

constexpr size_t kOutputSize = 1u << 18;

// gzip, with as many members as there are.
class Gunzip {
 public:
  explicit Gunzip(ByteSource source) : source_(std::move(source)), output_(kOutputSize, '\0') {
    StartMember();
  }

  StatusOr<std::string_view> operator()() {
    for (;;) {
      if (input_.empty() && !ended_) {
        ASSIGN_OR_RETURN(input_, source_());
        ended_ = input_.empty();
      }
      if (state_->block_state == ISAL_BLOCK_FINISH) {
        if (input_.empty() || !NextMember()) return std::string_view();
      }
      ASSIGN_OR_RETURN(const std::string_view data, Step());
      if (!data.empty()) return data;
      if (ended_ && input_.empty() && state_->block_state != ISAL_BLOCK_FINISH) {
        return Error(StatusCode::kDataLoss, "unexpected EOF in a gzip stream");
      }
    }
  }

 private:
  void StartMember() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

  // Zero padding after the last member is allowed; anything else but a member ends the stream.
  bool NextMember() {
    while (!input_.empty() && input_.front() == '\0') input_.remove_prefix(1);
    if (input_.empty() || input_.front() != '\x1f') {
      if (!input_.empty()) ended_ = true;
      input_ = {};
      return false;
    }
    StartMember();
    return true;
  }

  StatusOr<std::string_view> Step() {
    state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(input_.data()));
    state_->avail_in = static_cast<uint32_t>(input_.size());
    state_->next_out = reinterpret_cast<uint8_t*>(output_.data());
    state_->avail_out = static_cast<uint32_t>(output_.size());
    const int code = isal_inflate(state_.get());
    if (code < 0) return Error(StatusCode::kDataLoss, "damaged gzip stream ({})", code);
    input_.remove_prefix(input_.size() - state_->avail_in);
    return std::string_view(output_).substr(0, output_.size() - state_->avail_out);
  }

  ByteSource source_;
  std::string output_;
  std::string_view input_;
  bool ended_ = false;
  std::unique_ptr<inflate_state> state_ = std::make_unique<inflate_state>();
};

class Unzstd {
 public:
  explicit Unzstd(ByteSource source) : source_(std::move(source)), output_(kOutputSize, '\0') {}

  StatusOr<std::string_view> operator()() {
    for (;;) {
      if (input_.pos == input_.size) {
        ASSIGN_OR_RETURN(const std::string_view data, source_());
        input_ = {.src = data.data(), .size = data.size(), .pos = 0};
        if (data.empty() && !in_frame_) return std::string_view();
      }
      const bool at_end = input_.size == 0;
      ZSTD_outBuffer out{.dst = output_.data(), .size = output_.size(), .pos = 0};
      const size_t code = ZSTD_decompressStream(context_.get(), &out, &input_);
      if (ZSTD_isError(code) != 0) {
        return Error(StatusCode::kDataLoss, "damaged zstd stream: {}", ZSTD_getErrorName(code));
      }
      in_frame_ = code != 0;
      if (out.pos > 0) return std::string_view(output_).substr(0, out.pos);
      if (at_end && in_frame_) {
        return Error(StatusCode::kDataLoss, "unexpected EOF in a zstd stream");
      }
    }
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  static ZSTD_DCtx* Make() {
    ZSTD_DCtx* context = ZSTD_createDCtx();
    // 128 MiB of window, as zstd's own tool allows without being asked.
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 27);
    return context;
  }

  ByteSource source_;
  std::string output_;
  ZSTD_inBuffer input_{};
  bool in_frame_ = false;
  std::unique_ptr<ZSTD_DCtx, Free> context_{Make()};
};

// Collects the first bytes, chooses, and gives them on.
class Detect {
 public:
  explicit Detect(ByteSource source) : source_(std::move(source)) {}

  StatusOr<std::string_view> operator()() {
    if (!chosen_) RETURN_IF_ERROR(Choose());
    return chosen_();
  }

 private:
  Status Choose() {
    while (head_.size() < 6) {
      ASSIGN_OR_RETURN(const std::string_view data, source_());
      if (data.empty()) break;
      head_ += data;
    }
    const std::string_view head = head_;
    ByteSource whole = [this, given = false]() mutable -> StatusOr<std::string_view> {
      if (!given && !head_.empty()) {
        given = true;
        return std::string_view(head_);
      }
      return source_();
    };
    if (head.starts_with("\x1f\x8b\x08")) {
      chosen_ = [gunzip = std::make_shared<Gunzip>(std::move(whole))] { return (*gunzip)(); };
    } else if (head.starts_with("\x28\xb5\x2f\xfd") ||
               (head.size() >= 4 && (head[0] & 0xf0) == 0x50 &&
                head.substr(1, 3) == "\x2a\x4d\x18")) {
      chosen_ = [unzstd = std::make_shared<Unzstd>(std::move(whole))] { return (*unzstd)(); };
    } else if (head.starts_with("BZh") || head.starts_with(std::string_view("\xfd"
                                                                            "7zXZ\0",
                                                                            6))) {
      return Unsupported("layers compressed with bzip2 or xz are not supported");
    } else {
      chosen_ = std::move(whole);
    }
    return OkStatus();
  }

  ByteSource source_;
  std::string head_;
  ByteSource chosen_;
};

}  // namespace

ByteSource Decompress(ByteSource source) {
  return [detect = std::make_shared<Detect>(std::move(source))] { return (*detect)(); };
}

}  // namespace ocirun::snapshot
