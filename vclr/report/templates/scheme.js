"use strict";

/* The button that changes between the system's colors, light and dark. Without scripts, the system decides. */
(() => {
  const button = document.getElementById("scheme");
  const choices = ["automatic", "light", "dark"];

  function remember(choice) {
    try {
      localStorage.setItem("vclr-report-colors", choice);
    } catch {
      // A browser may refuse storage to local files; the choice then lasts as long as the page.
    }
  }

  function recall() {
    try {
      return localStorage.getItem("vclr-report-colors");
    } catch {
      return null;
    }
  }

  function apply(choice) {
    document.documentElement.dataset.colors = choice;
    button.textContent = `colors: ${choice}`;
  }

  button.addEventListener("click", () => {
    const choice = choices[(choices.indexOf(document.documentElement.dataset.colors) + 1) % choices.length];
    apply(choice);
    remember(choice);
  });
  const remembered = recall();
  apply(choices.includes(remembered) ? remembered : choices[0]);
  button.hidden = false;
})();
