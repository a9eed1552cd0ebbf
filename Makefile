# Cairn. `make` builds build/cairn; `make help` lists the rest.
CC ?= gcc
BUILD ?= build
PREFIX ?= /usr/local
PKGS := fuse3 sqlite3 libcrypto libzstd libarchive jansson
# Named so that a flag the compiler doesn't know breaks the build.
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings \
  -Wformat=2 -Wundef -Wvla -Wcast-qual -Wimplicit-fallthrough
WERROR ?= -Werror
OPT ?= -O2 -g
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314
CFLAGS += -std=c11 $(OPT) $(WARN) $(WERROR) -fno-common -fstack-protector-strong -pthread $(SAN) \
  $(shell pkg-config --cflags $(PKGS))
LDLIBS += $(shell pkg-config --libs $(PKGS))
LDFLAGS += -pthread $(SAN)

INDEX := $(wildcard index/*.c index/source/*.c)
FS := $(wildcard fs/*.c)
TOOLS := $(wildcard tools/*.c)
UNIT := $(wildcard tests/unit/test_*.c)
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

all: $(BUILD)/cairn

$(BUILD)/cairn: $(call obj,$(TOOLS)) $(BUILD)/libfs.a $(BUILD)/libindex.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/libindex.a: $(call obj,$(INDEX))
	rm -f $@ && ar rcs $@ $^
$(BUILD)/libfs.a: $(call obj,$(FS))
	rm -f $@ && ar rcs $@ $^
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libfs.a $(BUILD)/libindex.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(BUILD)/libfs.a $(BUILD)/libindex.a $(LDLIBS)
unit: $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT))

clean:
	rm -rf $(BUILD)

.PHONY: all unit clean
-include $(patsubst %.o,%.d,$(call obj,$(INDEX) $(FS) $(TOOLS))) $(wildcard $(BUILD)/unit/*.d)
