// SPDX-License-Identifier: Apache-2.0
//
// The command line of runc: one file a command. A command registers its options on `app` and sets
// `*run` to what it does; main parses, protects the program and calls it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/status.h"
#include "ocirun/container/state.h"

namespace ocirun::cli {

// /run/ocirun, or for an ordinary user a folder in $XDG_RUNTIME_DIR.
std::string DefaultRoot();

struct Global {
  std::string root;
  std::string log, log_format = "text", log_level = "info", rootless = "auto";
  bool debug = false, systemd_cgroup = false;

  [[nodiscard]] container::Store store() const { return container::Store(root); }
};

// Returns the program's exit status.
using Action = std::function<StatusOr<int>(const Global&)>;

void AddCreate(CLI::App* app, Action* run);
void AddRun(CLI::App* app, Action* run);
void AddStart(CLI::App* app, Action* run);
void AddState(CLI::App* app, Action* run);
void AddKill(CLI::App* app, Action* run);
void AddDelete(CLI::App* app, Action* run);
void AddExec(CLI::App* app, Action* run);
void AddList(CLI::App* app, Action* run);
void AddPs(CLI::App* app, Action* run);
void AddSpec(CLI::App* app, Action* run);
void AddUpdate(CLI::App* app, Action* run);
void AddEvents(CLI::App* app, Action* run);
void AddFeatures(CLI::App* app, Action* run);
void AddPause(CLI::App* app, Action* run);
void AddResume(CLI::App* app, Action* run);
void AddCheckpoint(CLI::App* app, Action* run);
void AddRestore(CLI::App* app, Action* run);

// The absolute path of a bundle; empty: the current folder.
StatusOr<std::string> BundleFolder(const std::string& path);

// Writes all of `text` to stdout.
Status Print(std::string_view text);

}  // namespace ocirun::cli
