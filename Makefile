# Cairn. `make` builds build/cairn; `make help` lists the rest.
CC ?= gcc
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
PKGS := fuse3 sqlite3 libcrypto libzstd libarchive zlib jansson libcap
# Named so that a flag the compiler doesn't know breaks the build. Warnings are errors with the reference compiler (Debian 12's);
# later ones warn of more, which must not keep anybody from building.
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings \
  -Wformat=2 -Wundef -Wvla -Wcast-qual -Wimplicit-fallthrough
WERROR ?= $(if $(filter 12,$(shell $(CC) -dumpversion | cut -d. -f1)),-Werror)
OPT ?= -O2 -g -D_FORTIFY_SOURCE=2
SAN ?=
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314
CFLAGS += -std=c11 $(OPT) $(WARN) $(WERROR) -fno-common -fstack-protector-strong -pthread $(SAN) \
  $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS += $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LDFLAGS += -pthread $(SAN)

INDEX := $(wildcard index/*.c index/source/*.c)
FS := $(wildcard fs/*.c)
TOOLS := $(wildcard tools/*.c)
UNIT := $(wildcard tests/unit/test_*.c)
FUZZ := $(wildcard tests/fuzz/fuzz_*.c)
BENCH := $(wildcard tests/bench/*.c)
HELPERS := $(wildcard tests/lib/*.c)
LIBS := $(BUILD)/libfs.a $(BUILD)/libindex.a
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

all: $(BUILD)/cairn ## build the program: build/cairn

$(BUILD)/cairn: $(call obj,$(TOOLS)) $(LIBS)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
# The commands except main, for unit tests of tools/.
$(BUILD)/libtools.a: $(filter-out %/main.o,$(call obj,$(TOOLS)))
	rm -f $@ && ar rcs $@ $^
$(BUILD)/libindex.a: $(call obj,$(INDEX))
	rm -f $@ && ar rcs $@ $^
$(BUILD)/libfs.a: $(call obj,$(FS))
	rm -f $@ && ar rcs $@ $^
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

link = @mkdir -p $(@D); $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(1) $(LIBS) $(LDLIBS)
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libtools.a $(LIBS)
	$(call link,$(BUILD)/libtools.a)
$(BUILD)/fuzz/%: tests/fuzz/%.c tests/fuzz/replay.c $(LIBS)
	$(call link,tests/fuzz/replay.c)
$(BUILD)/bench/%: tests/bench/%.c $(LIBS)
	$(call link,)
$(BUILD)/tests/%: tests/lib/%.c $(LIBS)
	$(call link,)
unit: $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT))
testprograms: all unit $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ)) $(patsubst tests/lib/%.c,$(BUILD)/tests/%,$(HELPERS))

deps: ## install what building needs (apt)
	@tests/deps.sh build
demo: ## install what is missing, build, import real images and packages, mount, run, show, clean up
	@tests/deps.sh demo
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@tests/demo.sh
test: ## install what is missing, build and run all tests; ends with "N passed, N failed, N skipped"
	@tests/deps.sh test
	@$(MAKE) --no-print-directory -j$$(nproc) testprograms
	@tests/fixtures.sh
	@tests/run $(TESTS)
check: ## layering, headers, format, linters, help against manual
	@tests/deps.sh check
	@tests/check/run
bench: ## measure against peers, side by side
	@tests/deps.sh bench
	@$(MAKE) --no-print-directory -j$$(nproc) all $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(BENCH))
	@tests/fixtures.sh
	@tests/bench/run
asan: ## all tests with AddressSanitizer and UBSan (in build-asan)
	@tests/deps.sh test
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=build-asan OPT="-O1 -g" SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined" testprograms
	@tests/fixtures.sh
	@BUILD=build-asan tests/run $(TESTS)
tsan: ## unit tests of the threaded modules with ThreadSanitizer (in build-tsan)
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=build-tsan OPT="-O1 -g" SAN="-fsanitize=thread" unit
	@BUILD=build-tsan tests/run test_session test_reader test_blockcache test_treecache test_catalog
fuzz: ## build libFuzzer targets with clang (in build-fuzz) and run each for FUZZ_SECONDS (60)
	@tests/fuzz/run
man: all ## write tools/man/*.1 anew from the command table
	@tests/check/man --write

install: all ## DESTDIR= PREFIX=
	install -D -m 755 $(BUILD)/cairn $(DESTDIR)$(PREFIX)/bin/cairn
	mkdir -p $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)/sbin
	install -m 644 tools/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	mkdir -p $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	  $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(BUILD)/cairn completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/cairn
	$(BUILD)/cairn completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_cairn
	$(BUILD)/cairn completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/cairn.fish
	ln -sf $(PREFIX)/bin/cairn $(DESTDIR)/sbin/mount.fuse.cairn
	ln -sf $(PREFIX)/bin/cairn $(DESTDIR)/sbin/mount.cairn
uninstall: ## what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/cairn $(DESTDIR)$(PREFIX)/share/man/man1/cairn*.1 $(DESTDIR)/sbin/mount.fuse.cairn $(DESTDIR)/sbin/mount.cairn \
	  $(DESTDIR)$(PREFIX)/share/bash-completion/completions/cairn $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_cairn \
	  $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/cairn.fish

clean: ## remove what was built
	rm -rf build build-asan build-tsan build-fuzz
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: all unit testprograms deps demo test check bench asan tsan fuzz man install uninstall clean help
.DELETE_ON_ERROR:
.SECONDARY:
-include $(patsubst %.o,%.d,$(call obj,$(INDEX) $(FS) $(TOOLS))) $(wildcard $(BUILD)/unit/*.d $(BUILD)/fuzz/*.d $(BUILD)/tests/*.d $(BUILD)/bench/*.d)
