
(function () {
  "use strict";
  var search = document.getElementById("search");
  var words = document.getElementById("words");
  var matches = document.getElementById("matches");
  var table = document.getElementById("problems");
  if (!table) {
    return;
  }
  var rows = Array.prototype.slice.call(table.tBodies[0].rows);
  var texts = rows.map(function (row) {
    return row.textContent.toLowerCase();
  });
  function show() {
    var wanted = words.value.toLowerCase().trim();
    var shown = 0;
    rows.forEach(function (row, at) {
      row.hidden = !texts[at].includes(wanted);
      shown += row.hidden ? 0 : 1;
    });
    matches.textContent = wanted ? shown + " of " + rows.length + " rows" : "";
  }
  words.addEventListener("input", show);
  search.hidden = false;
  show();
})();
