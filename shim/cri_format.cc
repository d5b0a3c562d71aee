// SPDX-License-Identifier: Apache-2.0
#include "shim/log_writer.h"

namespace ocirun::shim {
namespace {

void AppendCriLine(const LogPiece& piece, std::string* out) {
  std::string_view text = piece.text;
  const bool whole = text.ends_with('\n');
  if (whole) text.remove_suffix(1);
  if (whole && text.ends_with('\r')) text.remove_suffix(1);
  *out += piece.time;
  *out += piece.stream == Stream::kStdout ? " stdout " : " stderr ";
  *out += whole ? "F " : "P ";
  *out += text;
  *out += '\n';
}

}  // namespace

const LogFormat kCriFormat = {
    .max_piece = 16 * 1024, .counts_newline = false, .append = AppendCriLine};

}  // namespace ocirun::shim
