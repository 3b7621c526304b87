"""The playground: a web page that sends images to the models, and draws their answers."""
