// Tells a screen reader each control's name and exact value, and keeps its keys from the notebook. It runs once for
// each view of the controls, and only where a kernel shows them: `mark` stands among them, `ranges` holds the slider's
// name, unit and ends by its label.
(function equip(mark, ranges, patience = 600) {
    const panel = mark.closest(".living-dynamics-controls");
    if (!panel && patience) requestAnimationFrame(() => equip(mark, ranges, patience - 1)); // not on the page yet
    if (!panel || panel.dataset.equipped) return;
    panel.dataset.equipped = "true";

    // In JupyterLab a plain key is a command of the notebook: d d deletes the cell, even from within a slider.
    panel.addEventListener("keydown", event => {
        const command = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
        if (!command) event.stopPropagation();
    });

    const set = (element, name, value) => {
        if (element.getAttribute(name) !== value) element.setAttribute(name, value);
    };
    const describe = slider => {
        const handle = slider.querySelector("[role=slider]");
        const readout = slider.querySelector(".widget-readout");
        const range = ranges[slider.querySelector(".widget-label")?.textContent];
        if (!handle || !readout || !range) return;
        set(handle, "aria-label", range.name);
        set(handle, "aria-valuemin", range.low);
        set(handle, "aria-valuemax", range.high);
        const value = readout.textContent.replace("\u2212", "-"); // shown with a minus sign, which is no number
        set(handle, "aria-valuenow", value);
        set(handle, "aria-valuetext", `${value} ${range.unit}`.trim());
        set(readout, "role", "textbox");
        set(readout, "aria-label", `${range.name}: type a number from ${range.low} to ${range.high}`);
    };
    // The slider writes these attributes anew, rounded, whenever it moves.
    const look = () => panel.querySelectorAll(".widget-slider").forEach(describe);
    new MutationObserver(look).observe(panel, {
        subtree: true, childList: true, attributes: true, attributeFilter: ["aria-valuenow", "aria-valuetext"],
    });
    look();
})
