/*
 * Charts for TensorBoard's profiler plugin, whose pages would load Google Charts from the internet.
 *
 * Only the part of that interface is here that torch-tb-profiler 0.4 uses, drawn with plain SVG and HTML out of what
 * chart_parts.js has.
 */
(() => {
  'use strict';

  const { Chart, DataTable, Frame, add, arrayToDataTable, color, events, legendEntry, numberOf, textOf, valueOf, withoutMarkup } =
    window.maskprofChartParts;

  const WIDEST_BAR = 120;
  const MOST_LABELS = 40;

  /** Bars over a row of names, beside or on top of each other; some columns may be lines on an axis at the right. */
  class BarChart extends Chart {
    render(box) {
      const [domain, ...columns] = this.data.dataColumns;
      const isLine = (at) => this.options.series?.[at]?.type === 'line';
      const barColumns = columns.filter((_, at) => !isLine(at));
      const lineColumns = columns.filter((_, at) => isLine(at));
      const heights = this.data.rows.map((row) => barColumns.map((column) => numberOf(row[column])));
      const tops = heights.map((ofRow) => (this.options.isStacked ? ofRow.reduce((sum, height) => sum + height, 0) : Math.max(...ofRow, 0)));
      const lineTops = this.data.rows.flatMap((row) => lineColumns.map((column) => numberOf(row[column])));
      const right = lineColumns.length ? Math.max(...lineTops, 0) : undefined;
      const frame = new Frame(this, box, Math.min(0, ...heights.flat()), Math.max(...tops, 0), { right });
      const slot = frame.innerWidth / (this.data.rows.length || 1);
      const middle = (at) => frame.left + (at + 0.5) * slot;
      this.data.rows.forEach((row, at) => {
        this.bars(frame, row, at, barColumns, { middle: middle(at), slot, columns });
        if (this.data.rows.length <= MOST_LABELS) {
          frame.label(middle(at), frame.top + frame.innerHeight + 16, textOf(row[domain]).slice(0, 24), 'middle');
        }
      });
      for (const column of lineColumns) {
        const stroke = color(columns.indexOf(column), this.options.colors);
        const points = this.data.rows.map((row, at) => [middle(at), frame.rightY(numberOf(row[column]))]);
        add(frame.svg, 'polyline', { points: points.join(' '), fill: 'none', stroke, 'stroke-width': 2 });
        points.forEach(([cx, cy], at) => {
          const dot = add(frame.svg, 'circle', { cx, cy, r: 4, fill: stroke });
          add(dot, 'title', {}, this.data.tooltip(this.data.rows[at], column));
        });
      }
      this.legend(box, columns);
    }

    bars(frame, row, rowAt, barColumns, { middle, slot, columns }) {
      const whole = Math.min(slot * 0.8, WIDEST_BAR * (this.options.isStacked ? 1 : barColumns.length));
      const width = this.options.isStacked ? whole : whole / barColumns.length;
      let base = 0;
      barColumns.forEach((column, at) => {
        const value = numberOf(row[column]);
        const [upper, lower] = [frame.y(base + Math.max(value, 0)), frame.y(base + Math.min(value, 0))];
        const x = middle - whole / 2 + (this.options.isStacked ? 0 : at * width);
        const fill = color(columns.indexOf(column), this.options.colors);
        const bar = add(frame.svg, 'rect', { x, y: upper, width: Math.max(width, 0.5), height: lower - upper, fill });
        add(bar, 'title', {}, this.data.tooltip(row, column));
        bar.addEventListener('click', () => this.select(rowAt, column));
        if (this.options.isStacked) base += value;
      });
    }
  }

  /** Lines over a number. Where `explorer` is asked for, dragging zooms in and a right click goes back. */
  class LineChart extends Chart {
    redraw() {
      const x = this.data.dataColumns[0];
      const values = this.data.rows.map((row) => numberOf(row[x]));
      this.whole = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
      if (this.whole[0] === this.whole[1]) this.whole[1] += 1;
      this.shown ??= this.whole;
      super.redraw();
    }

    render(box) {
      const [domain, ...columns] = this.data.dataColumns;
      const [least, most] = this.shown;
      const rows = this.data.rows.filter((row) => numberOf(row[domain]) >= least && numberOf(row[domain]) <= most);
      const highest = Math.max(0, ...rows.flatMap((row) => columns.map((column) => numberOf(row[column]))));
      const frame = (this.frame = new Frame(this, box, 0, highest));
      this.x = (value) => frame.left + ((value - least) / (most - least)) * frame.innerWidth;
      for (let at = 0; at <= 5; at += 1) {
        const value = least + ((most - least) * at) / 5;
        frame.label(this.x(value), frame.top + frame.innerHeight + 16, textOf(value), 'middle');
      }
      columns.forEach((column, at) => {
        const points = rows
          .filter((row) => (valueOf(row[column]) ?? null) !== null)
          .map((row) => `${this.x(numberOf(row[domain])).toFixed(1)},${frame.y(numberOf(row[column])).toFixed(1)}`);
        const stroke = color(at, this.options.colors);
        const line = add(frame.svg, 'polyline', { points: points.join(' '), fill: 'none', stroke, 'stroke-width': 1.5 });
        add(line, 'title', {}, this.data.nameOf(column));
      });
      this.markSelection();
      if (this.options.explorer) this.letZoom(frame.svg);
      this.legend(box, columns);
    }

    letZoom(svg) {
      const valueAt = (event) => {
        const share = (event.clientX - svg.getBoundingClientRect().left - this.frame.left) / this.frame.innerWidth;
        return this.shown[0] + Math.min(1, Math.max(0, share)) * (this.shown[1] - this.shown[0]);
      };
      let start = null;
      svg.style.cursor = 'crosshair';
      svg.addEventListener('pointerdown', (event) => {
        if (event.button === 0) start = valueAt(event);
      });
      svg.addEventListener('pointerup', (event) => {
        if (start === null) return;
        const range = [start, valueAt(event)].sort((a, b) => a - b);
        start = null;
        // A click is no range.
        if (range[1] - range[0] > (this.shown[1] - this.shown[0]) / 200) this.show(range);
      });
      svg.addEventListener('contextmenu', (event) => {
        event.preventDefault();
        this.show(this.whole);
      });
    }

    show(range) {
      this.shown = range;
      this.redraw();
    }

    setSelection(selection) {
      super.setSelection(selection);
      if (this.frame) this.markSelection();
    }

    markSelection() {
      this.frame.svg.querySelectorAll('.selected').forEach((mark) => mark.remove());
      const domain = this.data.dataColumns[0];
      for (const { row, column } of this.selection) {
        const [cx, cy] = [this.x(numberOf(this.data.rows[row][domain])), this.frame.y(numberOf(this.data.rows[row][column]))];
        add(this.frame.svg, 'circle', { class: 'selected', cx, cy, r: 5, fill: color(column - 1), stroke: '#333' });
      }
    }

    getChartLayoutInterface() {
      const { left, top, innerWidth, innerHeight } = this.frame;
      const [least, most] = this.shown;
      return {
        getChartAreaBoundingBox: () => ({ left, top, width: innerWidth, height: innerHeight }),
        getHAxisValue: (x) => least + ((x - left) / innerWidth) * (most - least),
        getXLocation: this.x,
      };
    }
  }

  class PieChart extends Chart {
    render(box) {
      const [nameColumn, sizeColumn] = this.data.dataColumns;
      const slices = this.data.rows.map((row) => ({ name: textOf(row[nameColumn]), size: numberOf(row[sizeColumn]), text: textOf(row[sizeColumn]) }));
      const total = slices.reduce((sum, slice) => sum + slice.size, 0) || 1;
      const room = Math.min(this.options.height ?? 240, 300) - (this.options.title ? 28 : 0);
      // The names need some room beside it.
      const side = Math.min(room, this.options.legend === 'none' ? this.width : Math.max(this.width * 0.55 - 60, this.width - 300));
      const row = add(box, 'div', { style: `display: flex; gap: 8px; align-items: center; height: ${room}px` });
      const svg = add(row, 'svg', { width: side, height: side, viewBox: '-1.02 -1.02 2.04 2.04', style: 'flex: none', role: 'img' });
      let start = 0;
      slices.forEach((slice, at) => {
        // A whole circle has no arc from its start to its end.
        const share = Math.min(slice.size / total, 0.99999);
        const path = add(svg, 'path', { d: sector(start, start + share, this.options.pieHole ?? 0), fill: color(at, this.options.colors) });
        add(path, 'title', {}, `${slice.name}\n${slice.text} (${(100 * share).toFixed(1)} %)`);
        start += share;
      });
      if (this.options.legend === 'none') return;
      const legend = add(row, 'div', { style: 'display: flex; flex-direction: column; min-width: 0; max-height: 100%; overflow: auto' });
      slices.forEach((slice, at) => legendEntry(legend, `${((100 * slice.size) / total).toFixed(1)} % ${slice.name}`, color(at, this.options.colors)));
    }
  }

  /** The path of a ring's part from one share of the circle to another; its radius is 1. */
  function sector(from, to, hole) {
    const point = (share, radius) => `${radius * Math.sin(2 * Math.PI * share)} ${-radius * Math.cos(2 * Math.PI * share)}`;
    const large = to - from > 0.5 ? 1 : 0;
    const outer = `M ${point(from, 1)} A 1 1 0 ${large} 1 ${point(to, 1)}`;
    return `${outer} L ${point(to, hole)} A ${hole} ${hole} 0 ${large} 0 ${point(from, hole)} Z`;
  }

  class Table extends Chart {
    render(box) {
      this.page ??= 0;
      this.sort ??= { column: this.options.sortColumn, ascending: Boolean(this.options.sortAscending) };
      const size = this.options.page === 'enable' ? (this.options.pageSize ?? 30) : Infinity;
      const rows = this.sorted();
      const columns = this.data.dataColumns;
      const table = add(box, 'table', { style: 'border-collapse: collapse; width: 100%' });
      const head = add(add(table, 'thead'), 'tr');
      for (const column of columns) this.heading(head, column);
      const body = add(table, 'tbody');
      for (const at of rows.slice(this.page * size, (this.page + 1) * size)) {
        const row = add(body, 'tr');
        for (const column of columns) this.cell(row, at, column);
      }
      if (rows.length > size) this.pages(box, Math.ceil(rows.length / size));
    }

    sorted() {
      const rows = [...this.data.rows.keys()];
      const { column, ascending } = this.sort;
      if (column === undefined) return rows;
      const key = (at) => valueOf(this.data.rows[at][column]);
      const order = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
      return rows.sort((a, b) => (ascending ? order(a, b) : order(b, a)));
    }

    heading(row, column) {
      const sign = column !== this.sort.column ? '' : this.sort.ascending ? ' \u25b2' : ' \u25bc';
      const style = 'border: 1px solid #ddd; padding: 4px 6px; background: #f4f4f4; cursor: pointer';
      add(row, 'th', { style }, this.data.nameOf(column) + sign).addEventListener('click', () => {
        this.sort = { column, ascending: column === this.sort.column && !this.sort.ascending };
        this.page = 0;
        this.redraw();
      });
    }

    cell(row, at, column) {
      const { style = '', className = '' } = this.data.propertiesOf(at, column);
      const align = this.data.columns[column].type === 'number' ? 'right' : 'left';
      add(row, 'td', { class: className, style: `border: 1px solid #ddd; padding: 3px 6px; text-align: ${align}; ${style}` }, textOf(this.data.rows[at][column]));
    }

    pages(box, count) {
      const bar = add(box, 'div', { style: 'padding: 4px' });
      for (const [text, step] of [['\u2039', -1], ['\u203a', 1]]) {
        add(bar, 'button', { type: 'button' }, text).addEventListener('click', () => {
          this.page = Math.min(count - 1, Math.max(0, this.page + step));
          this.redraw();
        });
      }
      add(bar, 'span', {}, ` page ${this.page + 1} of ${count}`);
    }
  }

  /** Named spans in rows; the last two columns are start and end. */
  class Timeline extends Chart {
    render(box) {
      const last = this.data.columns.length - 1;
      const starts = this.data.rows.map((row) => numberOf(row[last - 1]));
      const ends = this.data.rows.map((row) => numberOf(row[last]));
      const levels = [...new Set(this.data.rows.map((row) => row[0]))];
      const least = Math.min(...starts);
      const scale = (this.width - 4) / (Math.max(...ends) - least || 1);
      const svg = add(box, 'svg', { width: this.width, height: levels.length * 26 + 4, role: 'img' });
      this.data.rows.forEach((row, at) => {
        const [x, y] = [(starts[at] - least) * scale, levels.indexOf(row[0]) * 26];
        const width = Math.max((ends[at] - starts[at]) * scale, 0.5);
        const span = add(svg, 'rect', { x, y, width, height: 24, fill: color(at) });
        add(span, 'title', {}, this.data.columns[2]?.role === 'tooltip' ? withoutMarkup(row[2]) : textOf(row[1]));
        if (width > 40) add(svg, 'text', { x: x + 3, y: y + 16, 'font-size': 11, fill: '#fff' }, textOf(row[1]).slice(0, Math.floor(width / 7)));
      });
    }
  }

  const bars = { ColumnChart: BarChart, ComboChart: BarChart, SteppedAreaChart: BarChart };
  window.google = {
    charts: { load: () => Promise.resolve() },
    visualization: { DataTable, arrayToDataTable, events, LineChart, PieChart, Table, Timeline, ...bars },
  };
})();
