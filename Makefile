# SPDX-License-Identifier: BSD-3-Clause
# A thin front: every target calls meson or a script.
#
#   make           build (in build/)
#   make install   headers, library, tools, man pages (DESTDIR=, PREFIX= as usual)

.PHONY: all build install clean
all: build

build:
	@scripts/build

install: build
	@meson install -C build --no-rebuild $(if $(DESTDIR),--destdir '$(DESTDIR)')

clean:
	@rm -rf build build-*
