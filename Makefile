# SPDX-License-Identifier: BSD-3-Clause
# A thin front: every target calls meson or a script.
#
#   make           build (in build/)
#   make demo      the main job, in a virtual machine; on this machine's drive: make demo BDF=0000:41:00.0
#   make check     install what is missing, build, run every test
#   make check-iommufd   build a kernel with iommufd (once: up to half an hour), and run what needs it
#   make soak      a million random kills and all moments in between, a night; fewer: make soak KILLS=100000
#   make fuzz      peers that lie, ten minutes for each end; another time: make fuzz FUZZ_SECONDS=60
#   make bench     measure; some only: make bench ONLY=ring_1,rtt_poll; with pictures: make bench PLOT=1
#   make deb       Debian packages, in build/deb
#   make install   headers, library, tools, man pages (DESTDIR=, PREFIX= as usual)

.PHONY: all build demo check check-iommufd soak fuzz bench deb install clean
all: build

build:
	@scripts/build

demo:
	@scripts/demo $(if $(BDF),--bdf '$(BDF)') $(if $(filter 1,$(FORCE)),--force)

check:
	@scripts/check

check-iommufd:
	@scripts/check-iommufd

soak:
	@scripts/soak $(if $(KILLS),--kills '$(KILLS)')

fuzz:
	@scripts/fuzz $(if $(FUZZ_SECONDS),--seconds '$(FUZZ_SECONDS)')

bench:
	@scripts/bench $(if $(ONLY),--only '$(ONLY)') $(if $(filter 1,$(PLOT)),--plot)

deb:
	@scripts/deb

install: build
	@meson install -C build --no-rebuild $(if $(DESTDIR),--destdir '$(DESTDIR)')

clean:
	@rm -rf build build-*
