// SPDX-License-Identifier: Apache-2.0
#include "ctl/terminal.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <mutex>
#include <optional>

namespace ocirun::ctl {
namespace {

std::mutex g_mutex;
std::optional<termios> g_saved;  // set while the terminal is raw

}  // namespace

RawTerminal::RawTerminal(bool wanted) {
  const std::lock_guard lock(g_mutex);
  termios old{};
  if (!wanted || tcgetattr(0, &old) != 0) return;
  termios raw = old;
  cfmakeraw(&raw);
  if (tcsetattr(0, TCSANOW, &raw) == 0) g_saved = old;
}

void RawTerminal::Restore() {
  const std::lock_guard lock(g_mutex);
  if (g_saved) tcsetattr(0, TCSADRAIN, &*g_saved);
  g_saved.reset();
}

ocid::v1::TerminalSize SizeOfTerminal() {
  ocid::v1::TerminalSize size;
  winsize window{};
  for (const int fd : {0, 1, 2}) {
    if (ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) break;
  }
  size.set_width(window.ws_col);
  size.set_height(window.ws_row);
  return size;
}

StatusOr<std::string> ParseDetachKeys(const std::string& text) {
  std::string keys;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string key = text.substr(begin, end - begin);
    begin = end + 1;
    if (key.size() == 1) {
      keys += key;
    } else if (key.starts_with("ctrl-") && key.size() == 6) {
      keys += static_cast<char>(key[5] & 0x1f);
    } else {
      return InvalidArgument("invalid detach keys ({}) provided", text);
    }
  }
  return keys;
}

bool DetachScanner::Scan(std::string_view data, std::string* through) {
  for (const char c : data) {
    if (!keys_.empty() && c == keys_[seen_]) {
      if (++seen_ == keys_.size()) return true;
      continue;
    }
    through->append(keys_, 0, seen_);
    seen_ = !keys_.empty() && c == keys_[0] ? 1 : 0;
    if (seen_ == 0) *through += c;
  }
  return false;
}

}  // namespace ocirun::ctl
