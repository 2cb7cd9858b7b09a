/*
 * Custom elements as Chrome had them before 2020 ("version 0"), as far as Catapult's trace viewer needs them.
 *
 * The viewer that torch-tb-profiler brings asks for document.registerElement, which no browser has any more.
 * An element of a registered name gets the registered prototype and these calls: createdCallback, once;
 * attachedCallback and detachedCallback, when it comes into the document and leaves it; attributeChangedCallback.
 * Elements are upgraded when they are created or imported, and as they come into the document.
 * When the document is whole, WebComponentsReady is fired.
 *
 * The viewer's dialogues want a shadow root of version 0 besides: they get one of today's.
 */
(() => {
  'use strict';

  if (document.registerElement) return;

  /** By name: the prototype, and the tag that carries it (another one where a native element is extended). */
  const definitions = new Map();
  const attached = new WeakSet();
  const native = {
    createElement: Document.prototype.createElement,
    importNode: Document.prototype.importNode,
    cloneNode: Node.prototype.cloneNode,
    setAttribute: Element.prototype.setAttribute,
    removeAttribute: Element.prototype.removeAttribute,
  };
  let documentIsWhole = false;

  function definitionOf(element) {
    const definition = definitions.get(element.getAttribute('is') ?? element.localName);
    return definition?.tag === element.localName ? definition : undefined;
  }

  function upgrade(element) {
    // What lies in a <template> belongs to another document, and stays as it is until it is imported.
    if (element.__upgraded__ || element.ownerDocument !== document) return;
    const definition = definitionOf(element);
    if (definition === undefined) return;
    Object.setPrototypeOf(element, definition.prototype);
    element.__upgraded__ = true;
    element.createdCallback?.();
  }

  function elementsIn(node) {
    const inside = node.querySelectorAll ? [...node.querySelectorAll('*')] : [];
    return node.nodeType === Node.ELEMENT_NODE ? [node, ...inside] : inside;
  }

  function upgradeTree(node) {
    const elements = elementsIn(node);
    elements.forEach(upgrade);
    elements.forEach(noteWhetherAttached);
  }

  function noteWhetherAttached(element) {
    if (!element.__upgraded__ || element.isConnected === attached.has(element)) return;
    if (element.isConnected) {
      attached.add(element);
      element.attachedCallback?.();
    } else {
      attached.delete(element);
      element.detachedCallback?.();
    }
  }

  function follow(records) {
    for (const record of records) {
      record.addedNodes.forEach(upgradeTree);
      record.removedNodes.forEach((node) => elementsIn(node).forEach(noteWhetherAttached));
    }
  }

  function tellOfAttributes(prototype) {
    if (!prototype.attributeChangedCallback) return;
    const telling = (change) =>
      function (name, ...values) {
        const before = this.getAttribute(name);
        change.call(this, name, ...values);
        const after = this.getAttribute(name);
        if (before !== after) this.attributeChangedCallback(name, before, after);
      };
    prototype.setAttribute = telling(native.setAttribute);
    prototype.removeAttribute = telling(native.removeAttribute);
  }

  const observer = new MutationObserver(follow);
  observer.observe(document, { childList: true, subtree: true });

  document.registerElement = (name, options = {}) => {
    const prototype = options.prototype ?? Object.create(HTMLElement.prototype);
    const tag = options.extends ?? name;
    tellOfAttributes(prototype);
    definitions.set(name, { prototype, tag });
    // Before that, the elements that are there are upgraded all at once at the end.
    if (documentIsWhole) upgradeTree(document);
    const constructor = function () {
      return document.createElement(tag, options.extends && name);
    };
    constructor.prototype = prototype;
    return constructor;
  };

  document.createElement = function (tag, extension) {
    // The dialogues' own tag, unknown to browsers, cannot hold a shadow root; a div can.
    const element = native.createElement.call(this, tag === 'overlay' ? 'div' : tag);
    if (typeof extension === 'string') native.setAttribute.call(element, 'is', extension);
    upgrade(element);
    return element;
  };

  document.importNode = function (node, deep = false) {
    const copy = native.importNode.call(this, node, deep);
    upgradeTree(copy);
    return copy;
  };

  Node.prototype.cloneNode = function (deep = false) {
    const copy = native.cloneNode.call(this, deep);
    if (copy.ownerDocument === document) upgradeTree(copy);
    return copy;
  };

  Element.prototype.createShadowRoot = function () {
    const root = this.attachShadow({ mode: 'open' });
    // Where the element's own children are shown was <content>, and is <slot>.
    const rename = () => root.querySelectorAll('content').forEach((place) => place.replaceWith(native.createElement.call(document, 'slot')));
    new MutationObserver(rename).observe(root, { childList: true, subtree: true });
    return root;
  };

  // The viewer looks here whether the elements are the browser's own, and upgrades some ahead of time.
  window.CustomElements = {
    hasNative: false,
    useNative: false,
    ready: true,
    instanceof: (object, constructor) => object instanceof constructor,
    takeRecords: () => follow(observer.takeRecords()),
    upgrade,
    upgradeDocumentTree: upgradeTree,
  };
  window.WebComponents = {};
  // Elements are what they seem here; the polyfill that the viewer was written with hid them behind others.
  window.wrap = (node) => node;
  window.unwrap = (node) => node;
  Object.defineProperty(document, '_currentScript', { get: () => document.currentScript });
  // Keys and the mouse's modes go by it; Chrome had it until 2023.
  if (!('path' in Event.prototype)) {
    Object.defineProperty(Event.prototype, 'path', {
      get() {
        return this.composedPath();
      },
    });
  }

  document.addEventListener('DOMContentLoaded', () => {
    follow(observer.takeRecords());
    upgradeTree(document);
    documentIsWhole = true;
    document.dispatchEvent(new CustomEvent('WebComponentsReady', { bubbles: true }));
  });
})();
