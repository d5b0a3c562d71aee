// SPDX-License-Identifier: Apache-2.0
#include "ctl/output/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "ctl/output/units.h"

namespace ocirun::ctl {
namespace {

using Layer = ocid::v1::PullImageProgress::Layer;
constexpr size_t kBarWidth = 50;

std::string WordsOf(Layer::State state) {
  switch (state) {
    case Layer::STATE_PULLING_FS_LAYER:
      return "Pulling fs layer";
    case Layer::STATE_WAITING:
      return "Waiting";
    case Layer::STATE_DOWNLOADING:
      return "Downloading";
    case Layer::STATE_VERIFYING_CHECKSUM:
      return "Verifying Checksum";
    case Layer::STATE_DOWNLOAD_COMPLETE:
      return "Download complete";
    case Layer::STATE_EXTRACTING:
      return "Extracting";
    case Layer::STATE_PULL_COMPLETE:
      return "Pull complete";
    case Layer::STATE_ALREADY_EXISTS:
      return "Already exists";
    default:
      return "";
  }
}

std::string BarOf(const Layer& layer) {
  if (layer.total() == 0) return "";
  const size_t done = std::min(kBarWidth, kBarWidth * layer.current() / layer.total());
  return fmt::format(" [{}>{}]  {}/{}", std::string(done, '='), std::string(kBarWidth - done, ' '),
                     HumanSize(layer.current()), HumanSize(layer.total()));
}

bool Moves(Layer::State state) {
  return state == Layer::STATE_DOWNLOADING || state == Layer::STATE_EXTRACTING;
}

}  // namespace

PullProgress::PullProgress(FILE* out)
    : out_(out), terminal_(out != nullptr && isatty(fileno(out))) {}

void PullProgress::Show(const ocid::v1::PullImageProgress& event) {
  if (out_ == nullptr) return;
  if (event.has_start()) {
    fmt::print(out_, "{}: Pulling from {}\n", event.start().tag(), event.start().repository());
  }
  if (event.has_layer()) ShowLayer(event.layer());
  std::fflush(out_);
}

void PullProgress::ShowLayer(const Layer& layer) {
  const std::string text = layer.id() + ": " + WordsOf(layer.state());
  if (!terminal_) {
    if (!Moves(layer.state())) fmt::print(out_, "{}\n", text);
    return;
  }
  const auto found = std::find(lines_.begin(), lines_.end(), layer.id());
  if (found == lines_.end()) {
    lines_.push_back(layer.id());
    fmt::print(out_, "{}\n", text);
    return;
  }
  const auto up = lines_.end() - found;
  fmt::print(out_, "\x1b[{}A\r\x1b[2K{}{}\x1b[{}B\r", up, text,
             Moves(layer.state()) ? BarOf(layer) : "", up);
}

void PullProgress::End() {
  if (out_ != nullptr) std::fflush(out_);
}

}  // namespace ocirun::ctl
