/*
 * Shows a trace in Catapult's viewer: the one that lies packed in this page, or else the one that the page around
 * this one, the Trace view of TensorBoard's profiler plugin, sends as a message.
 */
(() => {
  'use strict';

  // The viewer would show a bar that advises flags for a Chrome of 2020.
  window.__hideTraceViewerPolyfillWarning = true;

  async function unpacked(base64) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Response(stream).text();
  }

  function makeViewer() {
    const container = document.createElement('track-view-container');
    container.id = 'track_view_container';
    const viewer = document.createElement('tr-ui-timeline-view');
    viewer.id = 'trace-viewer';
    viewer.track_view_container = container;
    Polymer.dom(viewer).appendChild(container);
    viewer.globalMode = true;
    Polymer.dom(document.body).appendChild(viewer);
    return viewer;
  }

  async function show(viewer, text, title) {
    const model = new tr.Model();
    try {
      await new tr.importer.Import(model).importTracesWithProgressDialog([text]);
    } catch (error) {
      const overlay = new tr.ui.b.Overlay();
      overlay.title = 'This trace cannot be shown';
      overlay.textContent = String(error.message ?? error);
      overlay.visible = true;
      return;
    }
    viewer.model = model;
    viewer.viewTitle = title;
    document.documentElement.dataset.shown = 'yes';
  }

  document.addEventListener('WebComponentsReady', async () => {
    const viewer = makeViewer();
    const packed = document.getElementById('packed-trace');
    if (packed !== null) {
      await show(viewer, await unpacked(packed.textContent), document.title);
      return;
    }
    window.addEventListener('message', ({ source, data }) => {
      if (source === window.parent && data?.msg === 'data') show(viewer, data.data, 'Trace');
    });
    window.parent.postMessage({ msg: 'ready' }, '*');
  });
})();
