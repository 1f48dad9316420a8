/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page_plot.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cairo-svg.h>
#include <cairo.h>

/* All in points of a picture that is not scaled. */
#define CELL         7.0
#define CELLS        128u /* in a row */
#define MAP_LEFT     124.0
#define MAP_TOP      104.0
#define MAP_WIDTH    (CELLS * CELL)
#define MAP_HEIGHT   800.0 /* at most */
#define BREAK_HEIGHT 18.0
#define LEGEND_LEFT  (MAP_LEFT + MAP_WIDTH + 32)
#define LEGEND_WIDTH 330.0
#define LEGEND_LINE  22.0
#define LEGEND_NOTES 80.0 /* all of the legend but its kinds */
#define WIDTH        (LEGEND_LEFT + LEGEND_WIDTH + 28)
#define BOTTOM       30.0
#define LABEL_ROOM   16.0 /* between two addresses */
#define LABEL_ROWS   8u   /* of so many, one has its address beside it */
#define LEAST_SHARE  1.0  /* of a cell: what is rare must be seen */
#define PNG_SCALE    2.0

struct color {
	double red, green, blue;
};

/* By Okabe and Ito's palette: apart for the colour-blind, too. Light to dark where there is an order. */
static const struct color colors[PAGE_CLASSES] = {
	[CLASS_DATA] = {0.00, 0.45, 0.70},       [CLASS_DUPLICATE] = {0.34, 0.71, 0.91},
	[CLASS_ZERO] = {0.86, 0.86, 0.86},       [CLASS_L1] = {0.94, 0.89, 0.26},
	[CLASS_L2] = {0.90, 0.62, 0.00},         [CLASS_L3] = {0.84, 0.37, 0.00},
	[CLASS_L4] = {0.45, 0.16, 0.00},         [CLASS_PINNED] = {0.80, 0.47, 0.65},
	[CLASS_ALLOC_ONLY] = {0.00, 0.62, 0.45}, [CLASS_BROKEN] = {0.00, 0.00, 0.00},
};

struct plot {
	const struct image *image;
	const struct page_classes *classes;
	const char *title, *subtitle;
	cairo_t *cr;
	uint64_t cell_pages, row_pages;
	uint64_t rows, breaks;
	double map_height;
	uint64_t count[PAGE_CLASSES], total;
};

/* ---- layout ------------------------------------------------------------------------------------ */

/* Rows and breaks when a cell stands for that many pages. */
static void count_rows(struct plot *plot, uint64_t cell_pages)
{
	const struct image *image = plot->image;
	uint64_t last = 0;

	plot->cell_pages = cell_pages;
	plot->row_pages = cell_pages * CELLS;
	plot->rows = plot->breaks = 0;
	for (size_t i = 0; i < image->page_count; i++) {
		uint64_t row = image->pages[i].pfn / plot->row_pages;

		if (!page_is_there(&image->pages[i]) || (plot->rows && row == last))
			continue;
		plot->breaks += plot->rows ? row > last + 1 : row > 0;
		plot->rows++;
		last = row;
	}
	plot->map_height = (double)plot->rows * CELL + (double)plot->breaks * BREAK_HEIGHT;
}

static void lay_out(struct plot *plot)
{
	uint64_t cell_pages = 1;

	for (size_t i = 0; i < plot->image->page_count; i++) {
		const struct image_page *page = &plot->image->pages[i];

		if (!page_is_there(page))
			continue;
		plot->count[page_class_of(page, plot->classes->content[i])]++;
		plot->total++;
	}
	/* No fewer pages in a cell than would fit if there were no holes at all. */
	while (plot->total / (cell_pages * CELLS) > (uint64_t)(MAP_HEIGHT / CELL))
		cell_pages *= 2;
	count_rows(plot, cell_pages);
	/* A row that is all of the address space ends this. */
	while (plot->map_height > MAP_HEIGHT)
		count_rows(plot, plot->cell_pages * 2);
}

/* ---- text -------------------------------------------------------------------------------------- */

enum align {
	LEFT,
	CENTER,
	RIGHT
};

static double text_width(cairo_t *cr, const char *text)
{
	cairo_text_extents_t extents;

	cairo_text_extents(cr, text, &extents);
	return extents.x_advance;
}

static void draw_text(cairo_t *cr, double x, double y, enum align align, const char *text)
{
	double width = text_width(cr, text);

	cairo_move_to(cr, align == LEFT ? x : align == RIGHT ? x - width : x - width / 2, y);
	cairo_show_text(cr, text);
}

static void set_font(cairo_t *cr, double size, bool bold, double gray)
{
	cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
			       bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
	cairo_set_font_size(cr, size);
	cairo_set_source_rgb(cr, gray, gray, gray);
}

/* Size or address: as few digits as say it exactly, or to three places. */
static char *octets_text(char text[32], uint64_t octets)
{
	static const struct {
		uint64_t unit;
		const char *name;
	} units[] = {
		{1ull << 50, "PiB"}, {1ull << 40, "TiB"}, {1ull << 30, "GiB"},
		{1ull << 20, "MiB"}, {1ull << 10, "KiB"},
	};
	char *end;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (octets < units[i].unit)
			continue;
		snprintf(text, 24, "%.3f", (double)octets / (double)units[i].unit);
		end = text + strlen(text);
		while (end[-1] == '0')
			end--;
		if (end[-1] == '.')
			end--;
		snprintf(end, 8, " %s", units[i].name);
		return text;
	}
	snprintf(text, 32, "%" PRIu64, octets);
	return text;
}

/* An address, exactly. */
static char *address_text(char text[32], uint64_t address)
{
	const uint64_t mib = 1ull << 20, gib = 1ull << 30, tib = 1ull << 40;

	if (address >= tib && address % gib == 0 && address % tib * 1000 % tib == 0)
		return octets_text(text, address);
	if (address < tib && address % mib == 0 && address % gib * 1000 % gib == 0)
		return octets_text(text, address);
	if (address < tib && address % mib == 0)
		snprintf(text, 32, "%" PRIu64 " MiB", address / mib);
	else if (address < gib && address % 1024 == 0)
		snprintf(text, 32, "%" PRIu64 " KiB", address / 1024);
	else
		snprintf(text, 32, "%#" PRIx64, address);
	return text;
}

/* 1,234,567 */
static char *count_text(char text[32], uint64_t count)
{
	char digits[24];
	size_t n = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, count), to = 0;

	for (size_t i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			text[to++] = ',';
		text[to++] = digits[i];
	}
	text[to] = '\0';
	return text;
}

/* Cut in the middle to what fits; never within a character of UTF-8. */
static void draw_fitting(cairo_t *cr, double x, double y, double room, const char *text)
{
	size_t head = strlen(text) / 2, tail = strlen(text) - head;
	char shorter[1024];

	if (strlen(text) < sizeof(shorter) / 2 && text_width(cr, text) <= room) {
		draw_text(cr, x, y, LEFT, text);
		return;
	}
	if (head > 400)
		head = tail = 400;
	do {
		const char *end = text + strlen(text) - tail;

		while (head && ((unsigned char)text[head] & 0xc0) == 0x80)
			head--;
		while (((unsigned char)*end & 0xc0) == 0x80)
			end++;
		snprintf(shorter, sizeof(shorter), "%.*s…%s", (int)head, text, end);
		head -= head > 0;
		tail -= tail > 0;
	} while (text_width(cr, shorter) > room && head + tail > 0);
	draw_text(cr, x, y, LEFT, shorter);
}

/* ---- the map ----------------------------------------------------------------------------------- */

static void set_color(cairo_t *cr, enum page_class class)
{
	cairo_set_source_rgb(cr, colors[class].red, colors[class].green, colors[class].blue);
}

/* Pages of each class in a cell. */
struct cell {
	uint64_t count[PAGE_CLASSES];
};

/* The one class that fills a cell, or PAGE_CLASSES. */
static enum page_class sole_class(const struct plot *plot, const struct cell *cell)
{
	for (unsigned class = 0; class < PAGE_CLASSES; class ++) {
		if (cell->count[class] == plot->cell_pages)
			return class;
		if (cell->count[class])
			break;
	}
	return PAGE_CLASSES;
}

/* Shares side by side, what is missing at the right. */
static void draw_shares(struct plot *plot, const struct cell *cell, double x, double y)
{
	double width[PAGE_CLASSES], sum = 0, room = CELL;

	for (unsigned class = 0; class < PAGE_CLASSES; class ++) {
		width[class] = (double)cell->count[class] / (double)plot->cell_pages * CELL;
		if (cell->count[class] && width[class] < LEAST_SHARE)
			width[class] = LEAST_SHARE;
		sum += width[class];
	}
	for (unsigned class = 0; class < PAGE_CLASSES; class ++) {
		double share = sum > room ? width[class] * room / sum : width[class];

		if (!cell->count[class])
			continue;
		set_color(plot->cr, class);
		cairo_rectangle(plot->cr, x, y, share, CELL);
		cairo_fill(plot->cr);
		x += share;
	}
}

static void draw_row(struct plot *plot, const struct cell cells[CELLS], double y)
{
	for (unsigned i = 0; i < CELLS;) {
		enum page_class class = sole_class(plot, &cells[i]);
		unsigned n = 1;

		if (class == PAGE_CLASSES) {
			draw_shares(plot, &cells[i], MAP_LEFT + i * CELL, y);
			i++;
			continue;
		}
		while (i + n < CELLS && sole_class(plot, &cells[i + n]) == class)
			n++;
		set_color(plot->cr, class);
		cairo_rectangle(plot->cr, MAP_LEFT + i * CELL, y, n * CELL, CELL);
		cairo_fill(plot->cr);
		i += n;
	}
}

static void draw_label(struct plot *plot, double y, uint64_t row)
{
	char text[32];

	set_font(plot->cr, 11, false, 0.25);
	draw_text(plot->cr, MAP_LEFT - 10, y + 4.5, RIGHT,
		  address_text(text, row * plot->row_pages * PAGE_OCTETS));
	cairo_set_source_rgb(plot->cr, 0.5, 0.5, 0.5);
	cairo_set_line_width(plot->cr, 1);
	cairo_move_to(plot->cr, MAP_LEFT - 6, y + 0.5);
	cairo_line_to(plot->cr, MAP_LEFT - 1, y + 0.5);
	cairo_stroke(plot->cr);
}

static void draw_break(struct plot *plot, double y, uint64_t rows)
{
	const double middle = y + BREAK_HEIGHT / 2;
	char size[32], text[64];
	double half;

	octets_text(size, rows * plot->row_pages * PAGE_OCTETS);
	snprintf(text, sizeof(text), "%s without pages", size);
	set_font(plot->cr, 10, false, 0.45);
	half = text_width(plot->cr, text) / 2 + 10;
	draw_text(plot->cr, MAP_LEFT + MAP_WIDTH / 2, middle + 3.5, CENTER, text);
	cairo_set_source_rgb(plot->cr, 0.65, 0.65, 0.65);
	cairo_set_line_width(plot->cr, 1);
	cairo_set_dash(plot->cr, (const double[]){3, 3}, 2, 0);
	cairo_move_to(plot->cr, MAP_LEFT, middle);
	cairo_line_to(plot->cr, MAP_LEFT + MAP_WIDTH / 2 - half, middle);
	cairo_move_to(plot->cr, MAP_LEFT + MAP_WIDTH / 2 + half, middle);
	cairo_line_to(plot->cr, MAP_LEFT + MAP_WIDTH, middle);
	cairo_stroke(plot->cr);
	cairo_set_dash(plot->cr, NULL, 0, 0);
}

/* A line around rows that follow each other. */
static void draw_frame(struct plot *plot, double top, double bottom)
{
	cairo_set_source_rgb(plot->cr, 0.6, 0.6, 0.6);
	cairo_set_line_width(plot->cr, 1);
	cairo_rectangle(plot->cr, MAP_LEFT - 0.5, top - 0.5, MAP_WIDTH + 1, bottom - top + 1);
	cairo_stroke(plot->cr);
}

static void draw_map(struct plot *plot)
{
	const struct image *image = plot->image;
	double y = MAP_TOP, top = MAP_TOP, label = -LABEL_ROOM;
	uint64_t next = 0; /* the row that would follow */
	bool any = false;

	for (size_t i = 0; i < image->page_count;) {
		const uint64_t row = image->pages[i].pfn / plot->row_pages;
		struct cell cells[CELLS] = {0};
		bool there = false;

		for (; i < image->page_count && image->pages[i].pfn / plot->row_pages == row; i++) {
			const struct image_page *page = &image->pages[i];
			uint64_t cell = page->pfn % plot->row_pages / plot->cell_pages;

			if (!page_is_there(page))
				continue;
			there = true;
			cells[cell].count[page_class_of(page, plot->classes->content[i])]++;
		}
		if (!there)
			continue;
		if (row > next) {
			if (any)
				draw_frame(plot, top, y);
			draw_break(plot, y, row - next);
			y += BREAK_HEIGHT;
			top = y;
		}
		if (y - label >= LABEL_ROOM && (y == top || row % LABEL_ROWS == 0)) {
			draw_label(plot, y, row);
			label = y;
		}
		draw_row(plot, cells, y);
		y += CELL;
		next = row + 1;
		any = true;
	}
	if (any)
		draw_frame(plot, top, y);
}

/* Offsets within a row. */
static void draw_axis(struct plot *plot)
{
	char text[33] = "+";

	for (unsigned i = 0; i <= 4; i++) {
		double x = MAP_LEFT + MAP_WIDTH * i / 4;

		set_font(plot->cr, 11, false, 0.25);
		octets_text(text + 1, plot->row_pages * PAGE_OCTETS * i / 4);
		draw_text(plot->cr, x, MAP_TOP - 12, i < 4 ? CENTER : RIGHT, i ? text : "+0");
		cairo_set_source_rgb(plot->cr, 0.5, 0.5, 0.5);
		cairo_set_line_width(plot->cr, 1);
		cairo_move_to(plot->cr, x, MAP_TOP - 8);
		cairo_line_to(plot->cr, x, MAP_TOP - 3);
		cairo_stroke(plot->cr);
	}
	set_font(plot->cr, 11, true, 0.25);
	draw_text(plot->cr, MAP_LEFT - 24, MAP_TOP - 12, RIGHT, "address");
}

static void draw_title(struct plot *plot)
{
	char size[32], count[32], cell[32], pages[32], text[512];

	set_font(plot->cr, 19, true, 0);
	draw_fitting(plot->cr, 28, 36, WIDTH - 56, plot->title);
	octets_text(size, plot->total * PAGE_OCTETS);
	octets_text(cell, plot->cell_pages * PAGE_OCTETS);
	snprintf(text, sizeof(text), "%s, %s of memory in %s pages. A cell is %s page%s (%s).",
		 plot->subtitle, size, count_text(count, plot->total),
		 count_text(pages, plot->cell_pages), plot->cell_pages == 1 ? "" : "s", cell);
	set_font(plot->cr, 13, false, 0.2);
	draw_fitting(plot->cr, 28, 60, WIDTH - 56, text);
}

static void draw_swatch(struct plot *plot, double y)
{
	cairo_rectangle(plot->cr, LEGEND_LEFT, y - 11, 14, 14);
	cairo_fill_preserve(plot->cr);
	cairo_set_source_rgb(plot->cr, 0.6, 0.6, 0.6);
	cairo_set_line_width(plot->cr, 0.5);
	cairo_stroke(plot->cr);
}

static void draw_legend(struct plot *plot)
{
	static const char *const notes[] = {
		"A cell of several kinds shows their shares;",
		"kinds that are rare are drawn wider.",
		"Rows without any page are left out.",
	};
	double y = MAP_TOP - 12;
	char text[32];

	set_font(plot->cr, 11, true, 0.25);
	draw_text(plot->cr, LEGEND_LEFT, y, LEFT, "kind");
	draw_text(plot->cr, LEGEND_LEFT + LEGEND_WIDTH - 62, y, RIGHT, "pages");
	y += LEGEND_LINE;
	for (unsigned class = 0; class < PAGE_CLASSES; class ++) {
		double share =
			plot->total ? 100.0 * (double)plot->count[class] / (double)plot->total : 0;

		if (!plot->count[class])
			continue;
		set_color(plot->cr, class);
		draw_swatch(plot, y);
		set_font(plot->cr, 12, false, 0.1);
		draw_text(plot->cr, LEGEND_LEFT + 22, y, LEFT, page_class_name(class));
		draw_text(plot->cr, LEGEND_LEFT + LEGEND_WIDTH - 62, y, RIGHT,
			  count_text(text, plot->count[class]));
		snprintf(text, sizeof(text), share < 0.1 ? "< 0.1 %%" : "%.1f %%", share);
		draw_text(plot->cr, LEGEND_LEFT + LEGEND_WIDTH, y, RIGHT, text);
		y += LEGEND_LINE;
	}
	cairo_set_source_rgb(plot->cr, 1, 1, 1);
	draw_swatch(plot, y);
	set_font(plot->cr, 12, false, 0.1);
	draw_text(plot->cr, LEGEND_LEFT + 22, y, LEFT, "no page (hole)");
	y += LEGEND_LINE + 8;
	set_font(plot->cr, 10.5, false, 0.4);
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++)
		draw_text(plot->cr, LEGEND_LEFT, y + (double)i * 16, LEFT, notes[i]);
}

/* ---- the file ---------------------------------------------------------------------------------- */

static cairo_status_t write_some(void *data, const unsigned char *octets, unsigned n)
{
	struct sparse_file *output = data;

	return sparse_file_write(output, octets, n, output->end) ? CAIRO_STATUS_WRITE_ERROR
								 : CAIRO_STATUS_SUCCESS;
}

static double plot_height(const struct plot *plot)
{
	double legend = LEGEND_NOTES;

	for (unsigned class = 0; class < PAGE_CLASSES; class ++)
		legend += plot->count[class] ? LEGEND_LINE : 0;
	return MAP_TOP + (plot->map_height > legend ? plot->map_height : legend) + BOTTOM;
}

int page_plot_write(const struct image *image, const struct page_classes *classes,
		    enum plot_format format, const char *title, const char *subtitle,
		    struct sparse_file *output)
{
	struct plot plot = {
		.image = image, .classes = classes, .title = title, .subtitle = subtitle};
	const double scale = format == PLOT_PNG ? PNG_SCALE : 1;
	cairo_surface_t *surface;
	cairo_status_t status;
	double height;

	lay_out(&plot);
	height = plot_height(&plot);
	if (format == PLOT_PNG)
		surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(WIDTH * scale),
						     (int)ceil(height * scale));
	else
		surface = cairo_svg_surface_create_for_stream(write_some, output, WIDTH, height);
	plot.cr = cairo_create(surface);
	cairo_scale(plot.cr, scale, scale);
	cairo_set_source_rgb(plot.cr, 1, 1, 1);
	cairo_paint(plot.cr);
	draw_title(&plot);
	draw_axis(&plot);
	draw_map(&plot);
	draw_legend(&plot);
	status = cairo_status(plot.cr);
	cairo_destroy(plot.cr);
	if (status == CAIRO_STATUS_SUCCESS && format == PLOT_PNG)
		status = cairo_surface_write_to_png_stream(surface, write_some, output);
	cairo_surface_finish(surface);
	if (status == CAIRO_STATUS_SUCCESS)
		status = cairo_surface_status(surface);
	cairo_surface_destroy(surface);
	if (status == CAIRO_STATUS_SUCCESS)
		return 0;
	if (!output->error[0])
		snprintf(output->error, sizeof(output->error), "%s: cannot be drawn: %s",
			 output->output.path, cairo_status_to_string(status));
	errno = EIO;
	return -1;
}
