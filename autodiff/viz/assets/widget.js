/* The page of a picture in a notebook's cell; what is chosen there is the widget's `selected`, and the other way round. */
export default {
  render({ model, el }) {
    const frame = document.createElement("iframe");
    frame.srcdoc = model.get("html");
    frame.title = "computation graph";
    Object.assign(frame.style, { width: "100%", height: "560px", border: "0" });
    const told = (event) => {
      if (event.source !== frame.contentWindow || event.data?.autodiff !== "selected") return;
      model.set("selected", event.data.id);
      model.save_changes();
    };
    const tell = () => frame.contentWindow?.postMessage({ autodiff: "select", id: model.get("selected") }, "*");
    frame.addEventListener("load", () => { if (model.get("selected")) tell(); });
    addEventListener("message", told);
    model.on("change:selected", tell);
    el.append(frame);
    return () => { removeEventListener("message", told); model.off("change:selected", tell); };
  },
};
