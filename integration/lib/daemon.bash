# SPDX-License-Identifier: Apache-2.0
#
# For the areas that test through a daemon (ctl/, ocid/): `load ../lib/daemon`. Each file has one of
# its own. A file that needs more begins its setup_file with daemon_setup, or its teardown_file ends
# with daemon_teardown.

load ../lib/common

daemon_setup() {
  make_file_dir
  start_ocid
}

daemon_teardown() {
  remove_containers
  stop_ocid
  rm -rf "$FILE_DIR"
}

setup_file() { daemon_setup; }
teardown_file() { daemon_teardown; }
