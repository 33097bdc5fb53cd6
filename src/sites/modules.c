/* modules.c - see modules.h. */
#include "sites/modules.h"

#include <elf.h>
#include <string.h>

#include "os/os.h"

#define MAPS_BYTES ((size_t)4 << 20) /* of /proc/self/maps; of a longer one the beginning is known */

/* ---- /proc/self/maps ----------------------------------------------------------------------------------------- */

static uint64_t take_hex(struct hkm_word *line)
{
	uint64_t value = 0;
	for (; line->length > 0; hkm_word_skip(line, 1)) {
		char c = line->start[0];
		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
	}
	return value;
}

/* A line is "START-END PERMISSIONS OFFSET DEVICE INODE PATH", its path ends where the line does. */
static void take_mapping(struct hkm_modules *modules, struct hkm_word line, struct hkm_module *last)
{
	struct hkm_module mapping;
	mapping.start = take_hex(&line);
	hkm_word_skip(&line, line.length > 0);
	mapping.end = take_hex(&line);
	hkm_word_skip_blanks(&line);
	struct hkm_word permissions = hkm_word_take(&line, ' ');
	mapping.file_offset = take_hex(&line);
	hkm_word_skip_blanks(&line);
	hkm_word_take(&line, ' ');
	hkm_word_take(&line, ' ');
	mapping.path = line;
	if (line.length == 0 || line.start[0] != '/' || permissions.length < 3)
		return;
	/* The mappings of a file follow each other, the one of its beginning first. */
	bool same = last->path.length == line.length && memcmp(last->path.start, line.start, line.length) == 0;
	mapping.base = mapping.file_offset == 0 || !same ? mapping.start - mapping.file_offset : last->base;
	*last = mapping;
	if (permissions.start[2] == 'x' && modules->count < HKM_MODULES_MOST)
		modules->list[modules->count++] = mapping;
}

static size_t list_bytes(void)
{
	return hkm_align_up(sizeof(struct hkm_modules), hkm_os_page_size());
}

struct hkm_modules *hkm_modules_read(void)
{
	struct hkm_modules *modules = hkm_os_map(list_bytes());
	char *text = hkm_os_map(MAPS_BYTES);
	int64_t length = text == NULL ? -1 : hkm_os_read_file("/proc/self/maps", text, MAPS_BYTES - 1);
	if (modules == NULL || length < 0) {
		if (modules != NULL)
			hkm_os_unmap(modules, list_bytes(), false);
		if (text != NULL)
			hkm_os_unmap(text, MAPS_BYTES, false);
		return NULL;
	}
	struct hkm_module last = { 0 };
	modules->text = text;
	for (char *line = text, *end; (end = memchr(line, '\n', (size_t)(text + length - line))) != NULL; line = end + 1) {
		*end = '\0';
		take_mapping(modules, (struct hkm_word){ line, (size_t)(end - line) }, &last);
	}
	return modules;
}

void hkm_modules_free(struct hkm_modules *modules)
{
	hkm_os_unmap(modules->text, MAPS_BYTES, false);
	hkm_os_unmap(modules, list_bytes(), false);
}

const struct hkm_module *hkm_modules_find(const struct hkm_modules *modules, uintptr_t address)
{
	for (unsigned i = 0; i < modules->count; i++)
		if (address >= modules->list[i].start && address < modules->list[i].end)
			return &modules->list[i];
	return NULL;
}

struct hkm_word hkm_module_name(const struct hkm_module *module)
{
	struct hkm_word name = module->path;
	const char *slash = memrchr(name.start, '/', name.length);
	hkm_word_skip(&name, (size_t)(slash + 1 - name.start));
	return name;
}

/* ---- Symbols ------------------------------------------------------------------------------------------------- */

/* A file as it lies in memory. */
struct file {
	const char *bytes;
	size_t size;
};

/* `count` things of `size` bytes at an offset; NULL if they do not lie in the file, or not aligned to 8 bytes. */
static const void *part(const struct file *file, uint64_t offset, uint64_t count, size_t size)
{
	uint64_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes) || offset > file->size || bytes > file->size - offset ||
	    offset % 8 != 0)
		return NULL;
	return file->bytes + offset;
}

/* Where the byte of a file that is linked at `address` stands in it; UINT64_MAX: in no loaded segment. */
static uint64_t offset_of(const Elf64_Phdr *segments, unsigned count, uint64_t address)
{
	for (unsigned i = 0; i < count; i++)
		if (segments[i].p_type == PT_LOAD && address >= segments[i].p_vaddr &&
		    address - segments[i].p_vaddr < segments[i].p_filesz)
			return address - segments[i].p_vaddr + segments[i].p_offset;
	return UINT64_MAX;
}

/* The section of the symbols: of all if the file still has them, else of those that other modules may use. */
static const Elf64_Shdr *symbol_section(const Elf64_Shdr *sections, unsigned count)
{
	const Elf64_Shdr *found = NULL;
	for (unsigned i = 0; i < count; i++)
		if (sections[i].sh_type == SHT_SYMTAB || (sections[i].sh_type == SHT_DYNSYM && found == NULL))
			found = &sections[i];
	return found;
}

static void read_functions(const struct file *file, const struct hkm_module *module,
			   void (*found)(void *, const char *, uintptr_t, uintptr_t), void *context)
{
	const Elf64_Ehdr *header = part(file, 0, 1, sizeof *header);
	if (header == NULL || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_shentsize != sizeof(Elf64_Shdr) || header->e_phentsize != sizeof(Elf64_Phdr))
		return;
	const Elf64_Phdr *segments = part(file, header->e_phoff, header->e_phnum, sizeof *segments);
	const Elf64_Shdr *sections = part(file, header->e_shoff, header->e_shnum, sizeof *sections);
	const Elf64_Shdr *section = sections == NULL ? NULL : symbol_section(sections, header->e_shnum);
	if (segments == NULL || section == NULL || section->sh_link >= header->e_shnum)
		return;
	const Elf64_Shdr *name_section = &sections[section->sh_link];
	size_t count = section->sh_size / sizeof(Elf64_Sym), names_size = name_section->sh_size;
	const Elf64_Sym *symbols = part(file, section->sh_offset, count, sizeof *symbols);
	if (symbols == NULL || name_section->sh_offset > file->size ||
	    names_size > file->size - name_section->sh_offset || names_size == 0)
		return;
	const char *names = file->bytes + name_section->sh_offset;
	if (names[names_size - 1] != '\0')
		return;
	for (size_t i = 0; i < count; i++) {
		const Elf64_Sym *symbol = &symbols[i];
		if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_size == 0 || symbol->st_name >= names_size)
			continue;
		/* Both ends of it have to lie in the code that is mapped. */
		uint64_t offset = offset_of(segments, header->e_phnum, symbol->st_value);
		if (offset < module->file_offset || offset - module->file_offset >= module->end - module->start)
			continue;
		uintptr_t start = module->start + (offset - module->file_offset);
		if (symbol->st_size <= module->end - start)
			found(context, names + symbol->st_name, start, start + symbol->st_size);
	}
}

void hkm_module_functions(const struct hkm_module *module,
			  void (*found)(void *context, const char *name, uintptr_t start, uintptr_t end), void *context)
{
	struct file file;
	file.bytes = hkm_os_map_file(module->path.start, &file.size);
	if (file.bytes == NULL)
		return;
	read_functions(&file, module, found, context);
	hkm_os_unmap((void *)(uintptr_t)file.bytes, hkm_align_up(file.size, hkm_os_page_size()), false);
}
