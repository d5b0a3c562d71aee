# What `cmake --install` puts where: the programs beside each other, since they look for one another
# there; what ocid reads in ../share; its unit, which names the programs by their place.
include(GNUInstallDirs)

install(TARGETS ocirun ocirun-criu ocirun-systemd ocishim ocid ocictl RUNTIME)
# A link, so that containerd finds the shim by the name of the runtime.
install(PROGRAMS ${CMAKE_BINARY_DIR}/bin/containerd-shim-ocirun-v2 TYPE BIN)
install(DIRECTORY ${CMAKE_BINARY_DIR}/share/ocirun TYPE DATA)
install(CODE "
  file(READ \"${CMAKE_SOURCE_DIR}/contrib/systemd/ocid.service\" unit)
  string(REPLACE \"/usr/local/bin\" \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\" unit \"\${unit}\")
  string(REPLACE \": copy to /etc/systemd/system, with the programs in\" \", with the programs in\" unit \"\${unit}\")
  set(path \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/ocid.service\")
  message(STATUS \"Installing: \${path}\")
  file(WRITE \"\${path}\" \"\${unit}\")
")
