/*
 * What the charts of charts.js are made of: a table of data, events, axes.
 *
 * Names of kernels and operators are data: everything goes into the page as text, never as markup.
 */
(() => {
  'use strict';

  const COLORS = ['#4269d0', '#efb118', '#ff725c', '#3ca951', '#a463f2', '#6cc5b0', '#ff8ab7', '#9c6b4e', '#97bbf5', '#9498a0'];
  const SVG = 'http://www.w3.org/2000/svg';
  const FONT = 'font: 12px Roboto, sans-serif; color: #333';
  const LEGEND_HEIGHT = 40;

  const color = (index, colors = COLORS) => colors[index % colors.length];

  function add(parent, name, attributes = {}, text = undefined) {
    const inSvg = name === 'svg' || parent.namespaceURI === SVG;
    const element = inSvg ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  /** A cell is a value, or an object of a value `v` and its text `f`. */
  const valueOf = (cell) => (cell !== null && typeof cell === 'object' && 'v' in cell ? cell.v : cell);

  const numberOf = (cell) => Number(valueOf(cell)) || 0;

  function textOf(cell) {
    if (cell !== null && typeof cell === 'object' && 'f' in cell) return String(cell.f);
    const value = valueOf(cell) ?? '';
    return typeof value === 'number' ? value.toLocaleString('en-US', { maximumFractionDigits: 3 }) : String(value);
  }

  /** The text of a tooltip that was written as markup. */
  const withoutMarkup = (markup) =>
    new DOMParser().parseFromString(String(markup).replace(/<br\s*\/?>|<\/(div|p|tr)>/gi, '\n'), 'text/html').body.textContent.trim();

  class DataTable {
    columns = [];
    rows = [];
    #properties = new Map();

    addColumn(column, label) {
      this.columns.push(typeof column === 'string' ? { type: column, label } : column);
    }

    addRow(row) {
      this.rows.push(row);
    }

    addRows(rows) {
      this.rows.push(...rows);
    }

    setProperty(row, column, name, value) {
      const key = `${row},${column}`;
      this.#properties.set(key, { ...this.#properties.get(key), [name]: value });
    }

    propertiesOf(row, column) {
      return this.#properties.get(`${row},${column}`) ?? {};
    }

    /** Numbers of the columns that hold data and not remarks on it; the first is what the others are drawn over. */
    get dataColumns() {
      return [...this.columns.keys()].filter((at) => !this.columns[at].role || this.columns[at].role === 'data');
    }

    nameOf(column) {
      return this.columns[column].label ?? this.columns[column].id ?? '';
    }

    tooltip(row, column) {
      if (this.columns[column + 1]?.role === 'tooltip') return withoutMarkup(valueOf(row[column + 1]));
      return `${textOf(row[this.dataColumns[0]])}\n${this.nameOf(column)}: ${textOf(row[column])}`;
    }
  }

  function arrayToDataTable([header, ...rows]) {
    const table = new DataTable();
    header.forEach((name, at) => table.addColumn(typeof name === 'object' ? name : { type: at ? 'number' : 'string', label: name }));
    table.addRows(rows);
    return table;
  }

  const listeners = new WeakMap();
  const events = {
    addListener(chart, name, call) {
      if (!listeners.has(chart)) listeners.set(chart, []);
      listeners.get(chart).push({ name, call });
    },
    trigger(chart, name, detail) {
      for (const listener of listeners.get(chart) ?? []) if (listener.name === name) listener.call(detail);
    },
  };

  class Chart {
    constructor(node) {
      this.node = node;
      this.selection = [];
    }

    draw(data, options = {}) {
      this.data = data;
      this.options = options;
      this.redraw();
      setTimeout(() => events.trigger(this, 'ready'));
    }

    redraw() {
      const box = document.createElement('div');
      box.className = 'maskprof-chart';
      box.style.cssText = FONT;
      // It must be in the page first, since what is drawn depends on the room there is.
      this.node.replaceChildren(box);
      if (this.options.title) add(box, 'div', { style: 'font-weight: bold; padding: 4px' }, this.options.title);
      this.render(box);
    }

    get width() {
      return Math.max(160, this.node.clientWidth || 600);
    }

    clearChart() {
      this.node.replaceChildren();
    }

    getSelection() {
      return this.selection;
    }

    setSelection(selection = []) {
      this.selection = selection;
    }

    /** Call `select` with this row and column, as after a click on what stands for it. */
    select(row, column) {
      this.selection = [{ row, column }];
      events.trigger(this, 'select');
    }

    legend(box, columns) {
      const legend = add(box, 'div', { style: `max-height: ${LEGEND_HEIGHT}px; overflow: auto; text-align: center` });
      columns.forEach((column, at) => legendEntry(legend, this.data.nameOf(column), color(at, this.options.colors)));
    }
  }

  function legendEntry(parent, text, fill) {
    const entry = add(parent, 'span', { style: 'display: inline-flex; align-items: center; margin: 2px 8px; max-width: 100%', title: text });
    add(entry, 'span', { style: `flex: none; width: 10px; height: 10px; margin-right: 5px; background: ${fill}` });
    add(entry, 'span', { style: 'overflow: hidden; text-overflow: ellipsis; white-space: nowrap' }, text);
  }

  /** Round numbers from 0 or below to `most`, about five of them. */
  function ticks(least, most) {
    const rough = (most - least || 1) / 5;
    const magnitude = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * magnitude >= rough) * magnitude;
    const first = Math.floor(least / step);
    const count = Math.ceil(most / step - first) || 1;
    return Array.from({ length: count + 1 }, (_, at) => (first + at) * step);
  }

  /** Axes: an SVG of the chart's size with lines and numbers, and where in it a value lies. */
  class Frame {
    constructor(chart, box, least, most, { right } = {}) {
      const { hAxis, vAxis, height = 300, title } = chart.options;
      this.height = Math.max(160, height - LEGEND_HEIGHT - (title ? 28 : 0) - 8);
      this.svg = add(box, 'svg', { width: chart.width, height: this.height, role: 'img' });
      this.left = 80;
      this.top = 10;
      this.innerWidth = chart.width - this.left - (right === undefined ? 20 : 80);
      this.innerHeight = this.height - this.top - 40;
      this.marks = ticks(least, most);
      for (const mark of this.marks) {
        add(this.svg, 'line', { x1: this.left, x2: this.left + this.innerWidth, y1: this.y(mark), y2: this.y(mark), stroke: '#ddd' });
        this.label(this.left - 6, this.y(mark) + 4, textOf(mark), 'end');
      }
      if (right !== undefined) {
        this.rightMarks = ticks(0, right);
        for (const mark of this.rightMarks) this.label(this.left + this.innerWidth + 6, this.rightY(mark) + 4, textOf(mark), 'start');
      }
      const middle = this.top + this.innerHeight / 2;
      if (vAxis?.title) this.label(12, middle, vAxis.title, 'middle', { transform: `rotate(-90 12 ${middle})` });
      if (hAxis?.title) this.label(this.left + this.innerWidth / 2, this.height - 4, hAxis.title, 'middle');
    }

    label(x, y, text, anchor, more = {}) {
      return add(this.svg, 'text', { x, y, 'text-anchor': anchor, 'font-size': 11, fill: '#555', ...more }, text);
    }

    y(value, marks = this.marks) {
      const share = (value - marks[0]) / (marks[marks.length - 1] - marks[0]);
      return this.top + this.innerHeight * (1 - share);
    }

    rightY(value) {
      return this.y(value, this.rightMarks);
    }
  }

  window.maskprofChartParts = { Chart, DataTable, Frame, add, arrayToDataTable, color, events, legendEntry, numberOf, textOf, valueOf, withoutMarkup };
})();
