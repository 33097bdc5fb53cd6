/* parser.c - the library's own parser of option values, compiled into the command with what it needs. Goes
 * away as soon as CMakeLists.txt links hakmem_cli to hakmem_api. */
#include "core/options.c"
#include "core/report.c"
#include "core/text.c"
#include "os/os_linux.c"
