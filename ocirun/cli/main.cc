// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cli/program.h"

int main(int argc, char** argv) { return ocirun::cli::RunCommandLine(argc, argv); }
