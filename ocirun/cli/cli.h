// SPDX-License-Identifier: Apache-2.0
//
// The command line of runc: one file a command. main finds the command that was asked for, lets it
// describe its options, parses, protects the program and runs it.
#pragma once

#include <functional>
#include <limits>
#include <span>
#include <string>

#include "base/option_set.h"
#include "base/status.h"
#include "ocirun/container/state.h"

namespace ocirun::cli {

// /run/ocirun, or for an ordinary user a folder in $XDG_RUNTIME_DIR.
std::string DefaultRoot();

struct Global {
  std::string root;
  std::string log, log_format = "text", log_level = "info", rootless = "auto";
  std::string cgroup_manager;  // empty: nobody said
  bool debug = false, systemd_cgroup = false;

  [[nodiscard]] container::Store store() const { return container::Store(root); }
  [[nodiscard]] cgroup::Driver cgroup_driver() const;
};

// A command that was asked for, once its options are known.
class CliCommand : public OptionSet {
 public:
  // The first word of nearly every command.
  [[nodiscard]] const std::string& container_id() const { return word(0); }

  // Returns the program's exit status.
  std::function<StatusOr<int>(const Global&)> run;
};

// Adds the command's options and says what it does. The command outlives what is set.
using Describer = void(CliCommand* command);

Describer DescribeCreate, DescribeRun, DescribeStart, DescribeState, DescribeKill, DescribeDelete,
    DescribeExec, DescribeList, DescribePs, DescribeSpec, DescribeUpdate, DescribeEvents,
    DescribeFeatures, DescribePause, DescribeResume, DescribeCheckpoint, DescribeRestore,
    DescribeMounts, DescribeCompletion, DescribeInfo;

constexpr size_t kAnyNumber = std::numeric_limits<size_t>::max();

// What is known of a command without describing it.
struct CommandInfo {
  const char* name;
  const char* words;  // for the usage line
  size_t least_words, most_words;
  const char* about;
  Describer* describe;
};

// All of them, in the order of the help.
std::span<const CommandInfo> Commands();

// The options that stand before the command.
void DescribeGlobal(OptionSet* options, Global* global, bool* version);

// The absolute path of a bundle; empty: the current folder.
StatusOr<std::string> BundleFolder(const std::string& path);

// Adds --preserve-fds.
void AddPreserveFds(CliCommand* command, int* count);

// Writes all of `text` to stdout.
Status Print(std::string_view text);

}  // namespace ocirun::cli
