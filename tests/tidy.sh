#!/bin/sh
# tidy.sh BUILD - what the object file must be: no writable data, only vs_ names exported, imports from
# a short list; functions that stay short, and how the code is formatted.
set -u
. tests/build/lib.sh
object=$1/vecstore.o

check "no writable global or static data" "[ -z \"\$(size -A '$object' |
    awk '\$1 ~ /^\.t?(data|bss)/ && \$1 !~ /^\.data\.rel\.ro/ && \$2 > 0')\" ]"
check "exports only vs_ names" "! nm --defined-only -g '$object' | awk '{print \$3}' | grep -v '^vs_'"

# Memory, strings, files, clocks and locks of libc; nothing that prints, exits or reads the environment.
allowed='^(__errno_location|bcmp|__error|___errno|__xpg_strerror_r|strerror_r|clock_gettime|close|fchmod|fchown|fcntl|fcntl64|
fdatasync|free|fstat|fstat64|fsync|ftruncate|ftruncate64|geteuid|getpid|madvise|memchr|memcmp|memcpy|memmove|memset|
mmap|mmap64|munmap|open|open64|posix_fallocate|posix_fallocate64|pread|pread64|pwrite|pwrite64|read|
realloc|readlink|realpath|snprintf|sqrt|stat|stat64|strchr|strcmp|strlen|strrchr|strstr|syscall|sysconf|unlink|vsnprintf|pthread_[a-z_]*|ZSTD_[A-Za-z0-9_]*|
__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__assert_fail)$'
allowed=$(printf '%s' "$allowed" | tr -d '\n')
check "imports only from the list" "! nm -u '$object' | awk '{print \$2}' | sed 's/@.*//' |
    grep -vE '$allowed'"

# Functions over 60 lines need a reason in their first line; none today.
long=$(awk 'FNR == 1 {start = 0} /^[a-zA-Z_].*\) \{$/ {start = FNR} /^\}/ && start {
    if (FNR - start > 60) print FILENAME ":" start ": " FNR - start " lines"; start = 0}' \
    amalgamation/src/*/*.c ext/*/*.c)
check "no function is longer than 60 lines" "[ -z '$long' ]"
[ -z "$long" ] || echo "$long"

# Another version of clang-format would do it in another way.
if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    check "the code is formatted (make format)" "make -s check-format"
else
    skipped=$((skipped + 1))
    echo "skipped tidy: how the code is formatted: no clang-format 14 here"
fi

finish tidy
