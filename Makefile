# SPDX-License-Identifier: BSD-3-Clause
# A thin front: every target calls meson or a script.
#
#   make           build (in build/)
#   make check     install what is missing, build, run every test
#   make install   headers, library, tools, man pages (DESTDIR=, PREFIX= as usual)

.PHONY: all build check install clean
all: build

build:
	@scripts/build

check:
	@scripts/check

install: build
	@meson install -C build --no-rebuild $(if $(DESTDIR),--destdir '$(DESTDIR)')

clean:
	@rm -rf build build-*
